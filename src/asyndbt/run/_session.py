"""One path from a configuration to a result, for every method and every placement of sites.

A session claims the run's directory, restores the latest checkpoint if there is one, logs events,
runs the method, and writes ``result.json``. A method without checkpoints repeats its steps with the
paid answers when it is resumed.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar

from threadpoolctl import threadpool_limits

from asyndbt._async import NewLoop, run_sync
from asyndbt.config import Config
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.federation.engines import Channel
from asyndbt.lm import LanguageModel
from asyndbt.run._directory import Event, Observer, RunDirectory, write_atomically
from asyndbt.run._observers import Observers
from asyndbt.run._result import Outcome, Result, build_result
from asyndbt.run._setup import RunSetup, prepare_run
from asyndbt.run._states import SavedState, drop_states, saved_states
from asyndbt.run._version import package_version

METHOD_FILE = "method.json"
"""Name and options of the method, where the record names one."""
_OTHER = "a state on the disk is damaged: the other one of the two that are kept is used"
_AGAIN = "states on the disk are damaged or missing: the run begins again, with its paid answers"


class Method(ABC):
    """A way to tune prompts, run in a session.

    Installed packages add methods as entry points of the group ``asyndbt.methods``.
    """

    name: ClassVar[str]
    """The method's name in studies and records."""
    needs_calls: ClassVar[bool] = True
    """Whether tuning, not only the evaluation, sends requests."""
    simulates_liars: ClassVar[bool] = False
    """Whether sites act as ``federation.liars`` says."""
    keeps_privacy: ClassVar[bool] = False
    """Whether what it lets sites send keeps to ``[federation.privacy]``."""
    needs_labels: ClassVar[bool] = False
    """Whether it reads labels, and so cannot serve a task with a reward."""

    def configure(self, config: Config) -> Config:
        """Return the configuration as the method needs it."""
        return config

    def prepare(
        self, config: Config, directory: RunDirectory, model: LanguageModel | None
    ) -> RunSetup:
        """Return what a run needs; errors are raised before the first paid step."""
        self.check(config)
        return prepare_run(config, directory, model, needs_calls=self.needs_calls)

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse tables that ask of the sites what is not in their power under this method.

        Raises
        ------
        ConfigError
            If sites are to lie or to send private reports, and the method does not know how.
        """
        if config.federation.liars is not None and not cls.simulates_liars:
            raise ConfigError(
                f'federation.liars: in a run of "{cls.name}" no site can lie: remove the table, or '
                'use the method "asyndbt"'
            )
        if config.federation.privacy is not None and not cls.keeps_privacy:
            raise ConfigError(
                f"federation.privacy: method {cls.name} adds no noise to what sites send: remove "
                "the table, or use a method that does"
            )

    @abstractmethod
    async def run(self, session: Session) -> Outcome:
        """Call `Session.begin`, tune, evaluate once, and return what was found."""

    def failed(self, directory: RunDirectory, error: Exception) -> None:  # noqa: B027
        """Handle the failure of a session; its directory is still claimed."""


@dataclass(slots=True)
class Session:
    """A run in progress.

    Parameters
    ----------
    directory : RunDirectory
        Claimed by this process.
    channel : Channel
        Carries the messages of sites in this process, and counts all traffic.
    checkpoint : bytes or None
        The latest of an earlier session.
    damage : str or None
        What of an earlier session could not be read, and from where the run goes on.
    extend : bool
        Whether the run was given a new budget, with which one that exhausted its own continues.
    method : mapping, optional
        Name and options of the method, for the record.
    elapsed : float
        Seconds that earlier sessions took.
    """

    config: Config
    directory: RunDirectory
    setup: RunSetup
    observers: Observers[Event]
    channel: Channel
    checkpoint: bytes | None = None
    damage: str | None = None
    extend: bool = False
    method: Mapping[str, Any] | None = None
    elapsed: float = 0.0
    clock: Callable[[], float] = field(init=False)
    """Seconds since the run began; an engine sets its own."""

    def __post_init__(self) -> None:
        start = time.monotonic() - self.elapsed
        self.clock = lambda: time.monotonic() - start

    def begin(self, **about: Any) -> None:
        """Record the configuration, and log ``start`` with the JSON values of `about`."""
        if self.extend or not self.directory.config_file.exists():
            write_atomically(self.directory.config_file, self.config.to_toml().encode())
        if self.extend:
            # Last of all: a crash before must end neither without a result nor without the budget.
            self.directory.result_file.unlink(missing_ok=True)
        if self.method is not None:
            self.directory.write_json(METHOD_FILE, self.method)
        say = self.tell if self.checkpoint is None else self.show
        say("start", self.elapsed, directory=str(self.directory.path), **about)
        if self.damage is not None:
            self.tell("warning", self.elapsed, text=self.damage)
        for text in self.setup.warnings:
            say("warning", self.elapsed, text=text)

    def tell(self, kind: str, elapsed: float, **data: Any) -> None:
        """Log an event and show it to the observers; the directory's path is not logged."""
        logged = {key: value for key, value in data.items() if key != "directory"}
        self.directory.append_event(Event(kind, logged, elapsed))
        self.show(kind, elapsed, **data)

    def show(self, kind: str, elapsed: float, **data: Any) -> None:
        """Show an event to the observers only."""
        self.observers(Event(kind, data, elapsed))


def run_session(
    method: Method,
    config: Config,
    directory: RunDirectory,
    *,
    observers: Sequence[Observer] = (),
    model: LanguageModel | None = None,
    channel: Channel | None = None,
    extend: bool = False,
    record: Mapping[str, Any] | None = None,
    new_loop: NewLoop | None = None,
) -> Result:
    """Run a method in a directory, from its latest checkpoint if there is one.

    Parameters
    ----------
    config : Config
        As returned by `Method.configure`.
    model : LanguageModel, optional
        Replaces the one that the configuration names.
    extend : bool
        Whether the budget is a new one: a run that exhausted its own continues.
    record : mapping, optional
        ``name`` and ``options`` of the method; the result then names it.
    new_loop : callable, optional
        Makes the event loop, whose clock is the run's.

    Raises
    ------
    RunDirectoryError
        If another process works in the directory, or an earlier session had other settings or data,
        or another version wrote its checkpoint.
    AsyndbtError
        Whatever else ends the run.
    """
    if method.needs_labels and config.task.reward is not None:
        raise ConfigError(
            f"method {method.name!r} reads labels, and a task with task.reward has none: choose "
            "another method"
        )
    with ExitStack() as resources:
        # Before any file is read: another process must not change what was read.
        resources.enter_context(directory.claimed())
        setup = method.prepare(config, directory, model)
        for site in setup.sites.values():
            resources.callback(site.close)
        begun = directory.config_file.exists()
        for site in setup.sites.values():
            site.bind(begun=begun)
        try:
            session = _open(config, directory, setup, Observers(observers), channel or Channel())
            session.extend, session.method = extend, record
            # The matrices are small: threads would wait for each other more than they compute.
            with threadpool_limits(limits=1, user_api="blas"):
                outcome = run_sync(_to_the_end(method, session), new_loop)
        except Exception as error:
            method.failed(directory, error)
            raise
        result = build_result(config, setup, outcome)
        if record is not None:
            result["method"] = record["name"]
        for name, write in outcome.prompts.items():
            write(setup.sites[name].folder)
        # Logged first: a resumed run logs it again, and a finished one is only read.
        ended = Event("result", result, session.clock())
        directory.append_event(ended)
        directory.write_json("result.json", result)
        session.observers(ended)
    return Result(directory.path, model)


async def _to_the_end(method: Method, session: Session) -> Outcome:
    try:
        return await method.run(session)
    finally:
        await session.setup.close_models()


def _open(
    config: Config,
    directory: RunDirectory,
    setup: RunSetup,
    observers: Observers[Event],
    channel: Channel,
) -> Session:
    """Return the session at the latest checkpoint that all sites' states fit to.

    Events logged after it are dropped. Where none fits, the run begins again.

    Raises
    ------
    RunDirectoryError
        If none can be read and the sites are elsewhere: they cannot begin again.
    """
    sites = setup.sites.values()
    checkpoints, damaged = saved_states(directory.checkpoint_file)
    damaged = damaged or (bool(checkpoints) and any(site.damaged for site in sites))
    for checkpoint in checkpoints:
        saved = checkpoint.fields["more"]
        _check_settings(config, saved)
        if not _load(setup, checkpoint):
            continue
        directory.cut_events(saved["events"])
        channel.traffic = saved["traffic"]
        told = _OTHER if damaged else None
        at = {"checkpoint": checkpoint.data, "damage": told, "elapsed": saved["elapsed"]}
        return Session(config, directory, setup, observers, channel, **at)
    if damaged and not sites:
        raise RunDirectoryError(
            f"{directory.checkpoint_file}: damaged, and so is the one before: put a copy back, or "
            "start again in another directory"
        )
    drop_states(directory.checkpoint_file)
    for site in sites:
        site.forget()
    directory.cut_events(0)
    told = _AGAIN if damaged or checkpoints else None
    return Session(config, directory, setup, observers, channel, damage=told)


def _load(setup: RunSetup, checkpoint: SavedState) -> bool:
    """Restore the sites' states at a checkpoint or after it; False if one of them is lost."""
    answered, most = checkpoint.fields["more"]["answered"], checkpoint.fields["next_id"]
    states = {name: site.find(answered.get(name, -1), most) for name, site in setup.sites.items()}
    if None in states.values():
        return False
    for name, state in states.items():
        setup.sites[name].load(state or b"")
    return True


def _check_settings(config: Config, saved: Mapping[str, Any]) -> None:
    if saved["settings"] == config.fingerprint():
        return
    then, now = saved["version"], package_version()
    remedy = "resume with the config it was started with, or start again in another directory"
    if then != now:
        remedy = f"asyndbt {then} wrote it and this is {now}: resume with that release"
    raise RunDirectoryError(f"the checkpoint was written under other settings: {remedy}")
