"""From a configuration to what every site's prompts are made of; no language model is asked."""

from __future__ import annotations

from dataclasses import dataclass

from asyndbt.config import Config
from asyndbt.federation import SitePrompts
from asyndbt.lm import LanguageModel, Prompt, check_requests
from asyndbt.run.examples import check_delays, check_names, split_of, task_of
from asyndbt.run.words import agreed_vocabulary
from asyndbt.task import Example, SiteData, Task, demonstration_slots, merge_sites

__all__ = ["Gathered", "gather"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Task, vocabulary, and every site's examples in their places.

    Parameters
    ----------
    task : Task
    sites : dict of str to SitePrompts
    vocabulary : tuple of str
        Empty where no fragment is learned.
    positions : int
        M, words of a fragment.
    duplicates : str
        What to say of rows that are in more than one split; empty if there are none.
    """

    task: Task
    sites: dict[str, SitePrompts]
    vocabulary: tuple[str, ...]
    positions: int
    duplicates: str

    def check(self, model: LanguageModel) -> list[Prompt]:
        """Check labels and longest prompts against a model; give two prompts to probe it with.

        Returns
        -------
        list of Prompt
            The one that costs most and the one that costs least.

        Raises
        ------
        DataError
            If the model cannot tell labels apart, or a prompt is too long for it.
        """
        every = [
            prompt
            for site in self.sites.values()
            for prompt in site.longest(site.data.queries, model)
        ]
        check_requests(model, self.task.label_words, every)
        every.sort(key=lambda prompt: model.estimate(prompt).tokens)
        return [every[-1], every[0]]


def gather(config: Config) -> Gathered:
    """Load and split the examples, agree on the vocabulary, choose the demonstration candidates.

    Raises
    ------
    ConfigError, DataError
        With file, line or field, and the mend.
    """
    task, method = task_of(config), config.method
    split = split_of(config, task)
    data = list(split.sites)
    check_names(data)
    check_delays(config, [site.name for site in data])
    if method.centralised:
        data = [merge_sites(data)]
    positions = 0 if method.mode == "demonstrations" else method.fragment_length
    vocabulary = agreed_vocabulary(config, data) if positions else ()
    sites = {
        site.name: SitePrompts(task, site, _slots(config, task, site), vocabulary, positions)
        for site in data
    }
    return Gathered(task, sites, vocabulary, positions, str(split.duplicates))


def _slots(config: Config, task: Task, data: SiteData) -> tuple[tuple[Example, ...], ...]:
    method = config.method
    if method.mode == "fragment":
        return ()
    return demonstration_slots(
        data,
        task,
        per_class=method.demonstrations_per_class or 1,
        total=method.demonstrations_total,
        seed=config.run.seed,
    )
