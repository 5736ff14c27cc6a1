"""Carrying a run out: from a configuration, or on from where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from asyndbt._async import run_sync
from asyndbt.config import Config, load_config
from asyndbt.errors import BudgetError, ConfigError, RunDirectoryError
from asyndbt.federation import Coordinator, restore, unpack
from asyndbt.federation.engines import Channel, Delays, Engine, LocalEngine, VirtualEngine
from asyndbt.lm import LanguageModel
from asyndbt.run._directory import Observer, RunDirectory, write_atomically
from asyndbt.run._outcome import build_result, write_site_part
from asyndbt.run._recorder import Recorder
from asyndbt.run._result import Result
from asyndbt.run._setup import RunSetup, prepare_run

__all__ = ["check_settings", "resume_run", "run_config"]


def run_config(
    config: Config, *, observers: Sequence[Observer] = (), model: LanguageModel | None = None
) -> Result:
    """Tune prompts as a configuration says.

    Parameters
    ----------
    config : Config
    observers : sequence of Observer
        Are shown what happens.
    model : LanguageModel, optional
        Takes the place of the one that the configuration names.

    Returns
    -------
    Result

    Raises
    ------
    AsyndbtError
        With a text meant for the user; the directory can be resumed if it has a checkpoint.
    """
    directory = RunDirectory(config.run.dir)
    directory.check_unused()
    return _carry_out(config, directory, observers, model=model)


def resume_run(
    directory: Path | str,
    *,
    budget: Mapping[str, Any] | None = None,
    observers: Sequence[Observer] = (),
    model: LanguageModel | None = None,
) -> Result:
    """Go on with a run that stopped, from its latest checkpoint; a finished one is just read.

    With a deterministic model the result is the one of an uninterrupted run, byte for byte.

    Parameters
    ----------
    directory : path
    budget : mapping, optional
        Caps that replace those of the configuration, such as ``{"calls": 20000}`` or
        ``{"per_site": {"calls": 5000}}``.  A run that ended because its budget was used up is
        tuned further from where tuning ended.
    observers : sequence of Observer
    model : LanguageModel, optional
        As for `run_config`.

    Raises
    ------
    RunDirectoryError
        If no run is recorded in that directory, settings or data are not those of its start, or
        it ended for another reason than its budget.
    """
    files = RunDirectory.open(Path(directory))
    changes: dict[str, Any] = {"run.dir": str(files.path.resolve())}
    config = load_config(files.config_file).override(changes)
    done = files.read_json("result.json")
    if budget:
        config = config.override({**changes, **_full_keys("budget", budget)})
        if done is not None and done["stop_reason"] != "budget":
            raise RunDirectoryError(
                f"{files.path}: the run ended with {done['stop_reason']!r}, not for want of "
                "budget: more of it would change nothing"
            )
    elif done is not None:
        return Result(files.path)
    return _carry_out(config, files, observers, more=bool(budget), model=model)


def _full_keys(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values by their full keys.

    Examples
    --------
    >>> _full_keys("budget", {"calls": 10, "per_site": {"calls": 5}})
    {'budget.calls': 10, 'budget.per_site.calls': 5}
    """
    keys: dict[str, Any] = {}
    for name, value in values.items():
        full = f"{table}.{name}"
        keys |= _full_keys(full, value) if isinstance(value, Mapping) else {full: value}
    return keys


def _carry_out(
    config: Config,
    directory: RunDirectory,
    observers: Sequence[Observer],
    *,
    more: bool = False,
    model: LanguageModel | None = None,
) -> Result:
    if config.federation.engine == "flower":
        raise ConfigError(
            'federation.engine = "flower" spans machines: use the commands asyndbt run and asyndbt '
            "resume, after asyndbt coordinator start"
        )
    with ExitStack() as open_files:
        assembly = prepare_run(config, directory, model)
        for site in assembly.sites.values():
            open_files.callback(site.close)
        open_files.enter_context(directory.claimed())
        _work(config, directory, assembly, observers, more)
    return Result(directory.path)


def _work(
    config: Config,
    directory: RunDirectory,
    assembly: RunSetup,
    observers: Sequence[Observer],
    more: bool,
) -> None:
    wire, elapsed, events = Channel(), 0.0, 0
    coordinator = Coordinator(assembly.plan)
    saved = directory.read_checkpoint()
    if saved is not None:
        check_settings(config, unpack(saved)[0]["more"])
        for site in assembly.sites.values():
            site.load()
        coordinator, beside = restore(assembly.plan, saved)
        elapsed, events, wire.traffic = beside["elapsed"], beside["events"], beside["traffic"]
        if more:
            _reopen(coordinator, assembly)
    directory.cut_events(events)
    recorder = Recorder(directory, coordinator, wire, config, assembly, observers)
    if more:
        # On record before the old result goes: a crash in between must not end in neither.
        recorder.changed(elapsed)
        directory.result_file.unlink(missing_ok=True)
    if more or not directory.config_file.exists():
        write_atomically(directory.config_file, config.to_toml().encode())
    recorder.introduce(elapsed, anew=saved is None)
    engine = _engine(config, wire, elapsed)
    try:
        # The matrices here are small: threads would wait for each other more than they compute.
        with threadpool_limits(limits=1, user_api="blas"):
            run_sync(_to_the_end(engine, coordinator, assembly, recorder))
    finally:
        directory.write_json("traffic.json", wire.traffic)
    result = build_result(config, assembly, coordinator)
    for site in assembly.sites.values():
        write_site_part(site, tuple(result["fragment"]))
    directory.write_json("result.json", result)
    recorder.tell("result", engine.now(), **result)


def _reopen(coordinator: Coordinator, assembly: RunSetup) -> None:
    """Tune further, with a budget that has grown, where it had been used up.

    Raises
    ------
    BudgetError
        If it has not grown enough for a step.
    """
    sites = assembly.sites
    if coordinator.phase != "tuning":
        for site in sites.values():
            site.worker.reopen()
    able = [name for name, site in sites.items() if site.worker.learner.affords_step]
    if not able:
        needs = [site.needs for site in sites.values()]
        least = max(need.step.calls + need.look.calls * need.looks for need in needs)
        raise BudgetError(
            "the new budget buys no further step, for the comparison at the end has to be paid "
            f"anew: {least:,} calls more for each site are surely enough"
        )
    coordinator.reopen(able)


async def _to_the_end(
    engine: Engine, coordinator: Coordinator, assembly: RunSetup, recorder: Recorder
) -> None:
    try:
        await engine.run(coordinator, assembly.sites, recorder.changed)
    finally:
        await assembly.connection.model.close()


def check_settings(config: Config, saved: Mapping[str, Any]) -> None:
    """A checkpoint goes with the settings that it was written under."""
    if saved.get("settings") == config.fingerprint():
        return
    then, now = saved.get("version", "(an earlier one)"), version("asyndbt")
    mend = "resume with the config it was started with, or start anew in another directory"
    if then != now:
        mend = f"asyndbt {then} wrote it and this is {now}: resume with that release"
    raise RunDirectoryError(f"the checkpoint was written under other settings: {mend}")


def _engine(config: Config, wire: Channel, elapsed: float) -> LocalEngine | VirtualEngine:
    delays = config.federation.delays
    if config.federation.engine == "local" or delays is None:
        return LocalEngine(wire, elapsed)
    given = delays.model_dump(exclude_none=True)
    return VirtualEngine(Delays(**given, seed=config.run.seed), wire, elapsed)
