"""A run as the coordinator sees it: all sites are elsewhere, and nothing of theirs is here."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from asyndbt._async import NewLoop
from asyndbt.config import Config
from asyndbt.deploy._flower import registered_nodes
from asyndbt.errors import AsyndbtError, RunDirectoryError
from asyndbt.federation import Coordinator
from asyndbt.federation.engines import Channel, Engine, FlowerEngine, Grid
from asyndbt.lm import LanguageModel
from asyndbt.run import (
    AsynDBT,
    Observer,
    Result,
    RunDirectory,
    RunSetup,
    Session,
    privacy_notes,
    run_session,
    shared_plan,
    shared_vocabulary,
    write_atomically,
)

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
    channel: Channel | None = None,
    new_loop: NewLoop | None = None,
) -> Result:
    """Run AsynDBT over a grid, from the latest checkpoint if there is one.

    Parameters
    ----------
    config : Config
        Of engine "flower".
    directory : RunDirectory
    grid : Grid
        Carries bytes to sites and back.
    observers : sequence of Observer
    channel : Channel, optional
    new_loop : callable, optional
        Makes the event loop, whose clock is the run's; asyncio's own without it.

    Raises
    ------
    AsyndbtError
        With a text meant for the user; the directory can be resumed if it has a checkpoint.
    """
    directory.path.mkdir(parents=True, exist_ok=True)
    method = _OverGrid(grid)
    return run_session(
        method, config, directory, observers=observers, channel=channel, new_loop=new_loop
    )


@dataclass(frozen=True)
class _OverGrid(AsynDBT):
    """AsynDBT with every site behind a grid of nodes."""

    grid: Grid

    def prepare(
        self, config: Config, directory: RunDirectory, model: LanguageModel | None
    ) -> RunSetup:
        """Return the plan; data and models are at the sites.

        Raises
        ------
        RunDirectoryError
            If the run is not of engine "flower".
        """
        if config.federation.flower is None:
            raise RunDirectoryError(f'{directory.path}: not a run of engine "flower"')
        plan = shared_plan(config)
        return RunSetup(plan, {}, shared_vocabulary(config), None, tuple(privacy_notes(plan)))

    def engine(self, session: Session, coordinator: Coordinator) -> Engine:
        """Return the engine of the grid."""
        federation, name = session.config.federation, run_name(session.directory)
        assert federation.flower is not None
        ttl = federation.flower.ttl or 3 * federation.lease
        nodes = registered_nodes(federation.flower.home)
        return FlowerEngine(
            coordinator, self.grid, name, ttl, session.channel, session.elapsed, nodes=nodes
        )

    def failed(self, directory: RunDirectory, error: Exception) -> None:
        """Leave word for whoever submitted the run."""
        text = str(error) if isinstance(error, AsyndbtError) else repr(error)
        directory.write_json(FAILURE, {"kind": type(error).__name__, "text": text})
