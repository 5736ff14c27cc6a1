"""Carrying a run out: from a configuration, or on from where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from asyndbt.config import Config, load_config
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.federation import (
    Coordinator,
    Delays,
    LocalEngine,
    VirtualEngine,
    Wire,
    restore,
)
from asyndbt.federation.codec import unpack
from asyndbt.run.assembly import Assembly, assemble
from asyndbt.run.directory import RunDirectory, write_atomically
from asyndbt.run.events import Observer
from asyndbt.run.loops import complete
from asyndbt.run.outcome import result_of, write_site_part
from asyndbt.run.recorder import Recorder
from asyndbt.run.result import Result

__all__ = ["check_settings", "resume_run", "run_config"]


def run_config(config: Config, *, observers: Sequence[Observer] = ()) -> Result:
    """Tune prompts as a configuration says.

    Parameters
    ----------
    config : Config
    observers : sequence of Observer
        Are shown what happens.

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
    return _carry_out(config, directory, observers)


def resume_run(directory: Path | str, *, observers: Sequence[Observer] = ()) -> Result:
    """Go on with a run that stopped, from its latest checkpoint; a finished one is just read.

    With a deterministic model the result is the one of an uninterrupted run, byte for byte.

    Raises
    ------
    RunDirectoryError
        If no run is recorded in that directory, or settings or data are not those of its start.
    """
    files = RunDirectory.open(Path(directory))
    if files.result_file.exists():
        return Result(files.path)
    config = load_config(files.config_file).override({"run.dir": str(files.path.resolve())})
    return _carry_out(config, files, observers)


def _carry_out(config: Config, directory: RunDirectory, observers: Sequence[Observer]) -> Result:
    if config.federation.engine == "flower":
        raise ConfigError(
            'federation.engine = "flower" spans machines: use the commands asyndbt run and asyndbt '
            "resume, after asyndbt coordinator start"
        )
    with ExitStack() as open_files:
        assembly = assemble(config, directory)
        for site in assembly.sites.values():
            open_files.callback(site.close)
        open_files.enter_context(directory.claimed())
        _work(config, directory, assembly, observers)
    return Result(directory.path)


def _work(
    config: Config, directory: RunDirectory, assembly: Assembly, observers: Sequence[Observer]
) -> None:
    if not directory.config_file.exists():
        write_atomically(directory.config_file, config.to_toml().encode())
    wire, elapsed, events = Wire(), 0.0, 0
    coordinator = Coordinator(assembly.plan)
    saved = directory.read_checkpoint()
    if saved is not None:
        check_settings(config, unpack(saved)[0]["more"])
        for site in assembly.sites.values():
            site.load()
        coordinator, more = restore(assembly.plan, saved)
        elapsed, events, wire.traffic = more["elapsed"], more["events"], more["traffic"]
    directory.cut_events(events)
    recorder = Recorder(directory, coordinator, wire, config, assembly, observers)
    if saved is None:
        recorder.start(elapsed)
    engine = _engine(config, wire, elapsed)
    try:
        # The matrices here are small: threads would wait for each other more than they compute.
        with threadpool_limits(limits=1, user_api="blas"):
            complete(engine.run(coordinator, assembly.sites, recorder.changed))
    finally:
        directory.write_json("traffic.json", wire.traffic)
    result = result_of(config, assembly, coordinator)
    for site in assembly.sites.values():
        write_site_part(site, tuple(result["fragment"]))
    directory.write_json("result.json", result)
    recorder.tell("result", engine.now(), **result)


def check_settings(config: Config, saved: Mapping[str, Any]) -> None:
    """A checkpoint goes with the settings that it was written under."""
    if saved.get("settings") == config.fingerprint():
        return
    then, now = saved.get("version", "(an earlier one)"), version("asyndbt")
    mend = "resume with the config it was started with, or start anew in another directory"
    if then != now:
        mend = f"asyndbt {then} wrote it and this is {now}: resume with that release"
    raise RunDirectoryError(f"the checkpoint was written under other settings: {mend}")


def _engine(config: Config, wire: Wire, elapsed: float) -> LocalEngine | VirtualEngine:
    delays = config.federation.delays
    if config.federation.engine == "local" or delays is None:
        return LocalEngine(wire, elapsed)
    given = delays.model_dump(exclude_none=True)
    return VirtualEngine(Delays(**given, seed=config.run.seed), wire, elapsed)
