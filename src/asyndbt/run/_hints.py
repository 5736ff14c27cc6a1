"""The vocabulary of hints that the sites' model writes: asked for before a run, and recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final

from asyndbt._async import run_sync
from asyndbt._text import counted
from asyndbt.config import Config
from asyndbt.errors import DataError
from asyndbt.hints import pool_hints
from asyndbt.lm import AnswerCache, Budget, Gateway, LanguageModel, Limits
from asyndbt.run._directory import RunDirectory
from asyndbt.run._inputs import RunInputs, load_inputs
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._site_hints import SiteHints, ask_site
from asyndbt.scoring import SitePrompts

_FILE: Final = "vocabulary.json"
_ASKED_WITH: Final = ("vocabulary_limit", "proposals", "proposal_rounds", "proposal_ngram")


@dataclass(frozen=True, slots=True)
class RunHints:
    """The hints of all sites, and the vocabulary that was made of them."""

    vocabulary: tuple[str, ...]
    sites: Mapping[str, SiteHints]

    def summary(self) -> dict[str, Any]:
        """Return what ``result.json`` says of them: counts alone."""
        sites = {
            name: {
                "written": len(site.hints) + site.copied,
                "copied": site.copied,
                "calls": site.spent.calls,
            }
            for name, site in self.sites.items()
        }
        return {"vocabulary": len(self.vocabulary), "sites": sites}


def ask_hints(
    config: Config,
    inputs: RunInputs,
    handle: ModelHandle,
    directory: RunDirectory,
    limits: Mapping[str, Limits],
) -> RunHints:
    """Ask the model for hints at every site, pool them, and record them.

    Parameters
    ----------
    limits : mapping of str to Limits
        What every site may spend.

    Raises
    ------
    DataError
        If fewer than two are left.
    ModelError
        If no request can succeed.
    """

    async def ask(name: str, prompts: SitePrompts) -> SiteHints:
        with site_answers(config, directory, name) as cache:
            gateway = Gateway(handle.model, cache, Budget(limits[name]), handle.policy)
            return await ask_site(config, prompts, gateway)

    async def ask_all() -> list[SiteHints]:
        try:
            return await asyncio.gather(*(ask(*site) for site in inputs.sites.items()))
        finally:
            await handle.model.close()

    sites = dict(zip(inputs.sites, run_sync(ask_all()), strict=True))
    pooled = pool_hints([site.hints for site in sites.values()])
    found = RunHints(pooled[: config.method.vocabulary_limit], sites)
    if len(pooled) < 2:
        raise _too_few(found, handle.model)
    asked = _digest(config, inputs, handle.model)
    directory.write_json(_FILE, {"asked": asked, **asdict(found)})
    return found


def recorded_hints(directory: RunDirectory) -> RunHints | None:
    """Return what is recorded in a run's directory; None if nothing is."""
    record = directory.read_json(_FILE)
    if record is None:
        return None
    sites = {name: SiteHints.from_dict(site) for name, site in record["sites"].items()}
    return RunHints(tuple(record["vocabulary"]), sites)


def recorded_inputs(config: Config, directory: RunDirectory) -> RunInputs:
    """Return the inputs of a run that has begun, with its hints if it has some.

    Raises
    ------
    ConfigError, DataError
        As `load_inputs`.
    """
    inputs, hints = load_inputs(config, complete=False), recorded_hints(directory)
    return inputs if hints is None else inputs.with_vocabulary(hints.vocabulary)


def known_hints(
    config: Config, inputs: RunInputs, model: LanguageModel, directory: RunDirectory
) -> RunHints | None:
    """Return the recorded hints of a run that goes on, or of an attempt with the same settings."""
    record = directory.read_json(_FILE)
    if record is None:
        return None
    if directory.config_file.exists() or record["asked"] == _digest(config, inputs, model):
        return recorded_hints(directory)
    return None


def site_answers(config: Config, directory: RunDirectory, site: str) -> AnswerCache:
    """Open the paid answers of a site: a file in its folder, or one that runs share."""
    if config.lm.cache is None:
        return AnswerCache(directory.site(site) / "answers.sqlite", site)
    return AnswerCache(config.lm.cache, f"{directory.identity()}/{site}")


def _digest(config: Config, inputs: RunInputs, model: LanguageModel) -> str:
    """Digest what hints depend on."""
    method, lm = config.method, config.lm
    parts = [
        model.name,
        inputs.task.to_dict(),
        {name: site.data.digests for name, site in inputs.sites.items()},
        {name: getattr(method, name) for name in _ASKED_WITH},
        [lm.feedback, lm.smoothing, lm.calibration],
    ]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _too_few(found: RunHints, model: LanguageModel) -> DataError:
    copied = sum(site.copied for site in found.sites.values())
    written = copied + sum(len(site.hints) for site in found.sites.values())
    return DataError(
        f'method.vocabulary = "propose" leaves {counted(len(found.vocabulary), "hint")}: '
        f"{model.name} wrote {written}, of which {copied} repeat texts of their sites and the "
        "others say the same; raise method.proposals or method.proposal_rounds, choose a model "
        'that follows instructions better, or "builtin", or a file of hints'
    )
