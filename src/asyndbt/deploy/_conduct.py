"""A run seen from the coordinator: all sites are elsewhere, and nothing of theirs is here."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress

from threadpoolctl import threadpool_limits

from asyndbt._async import run_sync
from asyndbt.config import Config
from asyndbt.errors import AsyndbtError, RunDirectoryError
from asyndbt.federation import Coordinator, restore, unpack
from asyndbt.federation.engines import Channel, FlowerEngine, Grid
from asyndbt.run import (
    ModelHandle,
    Observer,
    Recorder,
    Result,
    RunDirectory,
    RunSetup,
    build_result,
    check_settings,
    shared_plan,
    shared_vocabulary,
    write_atomically,
)

__all__ = ["FAILURE", "conduct", "run_name"]

FAILURE = "failure.json"
"""Says why a run ended, if it did without a result."""


def run_name(directory: RunDirectory) -> str:
    """Return the name under which sites keep their part of a run; made at its first start."""
    file = directory.path / "run-id"
    with suppress(FileNotFoundError):
        return file.read_text("ascii").strip()
    name = secrets.token_hex(8)
    write_atomically(file, f"{name}\n".encode())
    return name


def conduct(
    config: Config,
    directory: RunDirectory,
    grid: Grid,
    *,
    observers: Sequence[Observer] = (),
    wire: Channel | None = None,
    poll: float = 0.2,
    look: float = 2.0,
) -> Result:
    """Carry a run out, or go on with it from its latest checkpoint.

    Parameters
    ----------
    config : Config
        Of engine "flower".
    directory : RunDirectory
    grid : Grid
        Carries bytes to sites and back.
    observers : sequence of Observer
    wire : Wire, optional
    poll, look : float
        Seconds between two looks for replies, and for nodes.

    Raises
    ------
    AsyndbtError
        With a text meant for the user; the directory can be resumed if it has a checkpoint.
    """
    directory.path.mkdir(parents=True, exist_ok=True)
    with directory.claimed():
        try:
            _work(config, directory, grid, observers, wire or Channel(), poll, look)
        except Exception as error:
            text = str(error) if isinstance(error, AsyndbtError) else repr(error)
            directory.write_json(FAILURE, {"kind": type(error).__name__, "text": text})
            raise
    return Result(directory.path)


def _work(
    config: Config,
    directory: RunDirectory,
    grid: Grid,
    observers: Sequence[Observer],
    wire: Channel,
    poll: float,
    look: float,
) -> None:
    flower = config.federation.flower
    if flower is None:
        raise RunDirectoryError(f'{directory.path}: not a run of engine "flower"')
    if not directory.config_file.exists():
        write_atomically(directory.config_file, config.to_toml().encode())
    plan = shared_plan(config)
    coordinator, elapsed, events = Coordinator(plan), 0.0, 0
    saved = directory.read_checkpoint()
    if saved is not None:
        check_settings(config, unpack(saved)[0]["more"])
        coordinator, more = restore(plan, saved)
        elapsed, events, wire.traffic = more["elapsed"], more["events"], more["traffic"]
    directory.cut_events(events)
    # No model is asked here; the form of a run wants one.
    connection = ModelHandle.of(config.lm)
    assembly = RunSetup(plan, {}, shared_vocabulary(config), connection, ())
    recorder = Recorder(directory, coordinator, wire, config, assembly, observers)
    recorder.introduce(elapsed, anew=saved is None)
    ttl = flower.ttl or 3 * config.federation.lease
    engine = FlowerEngine(grid, run_name(directory), ttl, wire, elapsed, poll=poll, look=look)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            run_sync(engine.run(coordinator, {}, recorder.changed))
    finally:
        directory.write_json("traffic.json", wire.traffic)
    result = {**build_result(config, assembly, coordinator), "model": None}
    directory.write_json("result.json", result)
    recorder.tell("result", engine.now(), **result)
