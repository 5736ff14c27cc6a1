"""What a run would find at its start, without a run: errors, warnings, what the model can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from asyndbt.config import Config
from asyndbt.run._directory import RunDirectory
from asyndbt.run._model_handle import Probe
from asyndbt.run._setup import prepare_run


@dataclass(frozen=True, slots=True)
class RunCheck:
    """A configuration that a run could start with.

    Parameters
    ----------
    model : str
        Identity of the language model in the cache of answers.
    prompts : int
        Queries of all sites.
    warnings : tuple of str
        What the user should know before paying.
    judge : Probe or None
        The probe of the judge, if the task has one.
    """

    model: str
    probe: Probe
    prompts: int
    sites: tuple[str, ...]
    warnings: tuple[str, ...]
    judge: Probe | None = None


def check_run(config: Config, shared: Config | None = None) -> RunCheck:
    """Load the data, probe the language model and divide the budget, as a run does at its start.

    Parameters
    ----------
    config : Config
    shared : Config, optional
        At a site whose coordinator is elsewhere: what all sites agree on.

    Raises
    ------
    AsyndbtError
        Whatever would keep a run from starting, with the provider's own message where there is one.
    """
    with TemporaryDirectory(prefix="asyndbt-check-") as folder:
        # Nothing is asked that answers at hand would save.
        own_cache = config.override({"lm.cache": None}) if config.lm.cache else config
        directory = RunDirectory(Path(folder))
        setup = prepare_run(own_cache, directory, shared=shared, writes_hints=False)
        for site in setup.sites.values():
            site.close()
    assert setup.handle is not None
    count = sum(len(site.prompts.data.queries) for site in setup.sites.values())
    handle, judge = setup.handle, None if setup.judge is None else setup.judge.probe
    sites = tuple(setup.sites)
    return RunCheck(handle.model.name, handle.probe, count, sites, setup.warnings, judge)
