"""The record of a run, read for a report; what is missing is None or empty."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from asyndbt._measure import Measure
from asyndbt.errors import AsyndbtError, RunDirectoryError
from asyndbt.federation import Plan, unpack_state
from asyndbt.optim import FloatArray
from asyndbt.prompt import TunedPrompt, load_vocabulary
from asyndbt.run import RunDirectory, saved_states
from asyndbt.run import read_record as read_json


@dataclass(frozen=True, slots=True)
class SitePart:
    """A site's own part of the record.

    Parameters
    ----------
    p, q : FloatArray or None
        Policies (M, N) and (U, V), in their latest state.
    chosen : tuple of int
        Candidate of every slot: the final one, or the most probable so far.
    prompt : TunedPrompt or None
        None while the run is unfinished.
    """

    p: FloatArray | None = None
    q: FloatArray | None = None
    chosen: tuple[int, ...] = ()
    prompt: TunedPrompt | None = None


@dataclass(frozen=True)
class Record:
    """Everything that a report shows.

    Parameters
    ----------
    traffic : mapping
        Site to kind of message to (messages, bytes).
    state, arrays : mapping
        The coordinator's checkpoint.
    parts : mapping of str to SitePart
        For the sites whose own part is in the directory.
    hints : tuple of str
        The vocabulary, where the model wrote it.
    """

    name: str
    config_text: str
    config: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...] = ()
    result: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    traffic: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, FloatArray] = field(default_factory=dict)
    parts: Mapping[str, SitePart] = field(default_factory=dict)
    hints: tuple[str, ...] = ()

    def kind(self, *kinds: str) -> list[Mapping[str, Any]]:
        return [event for event in self.events if event["kind"] in kinds]

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """The event "start"; empty if there is none."""
        return next(iter(self.kind("start")), {})

    @cached_property
    def steps(self) -> list[Mapping[str, Any]]:
        return self.kind("step")

    @property
    def asynchronous(self) -> bool:
        """Whether a coordinator took the steps, and not the sites of a baseline."""
        return "quorum" in self.start

    @property
    def end(self) -> float:
        """Seconds from the start to the last event."""
        return float(self.events[-1]["elapsed"]) if self.events else 0.0

    @cached_property
    def sites(self) -> list[str]:
        """Names of all sites, in the run's order."""
        joined = [event["site"] for event in self.kind("joined")]
        known = (self.result or {}).get("sites", {})
        names = [*self.start.get("sites", {}), *known, *joined, *self.parts]
        return list(dict.fromkeys(names))

    @property
    def measure(self) -> Measure:
        """What scores of answers are called."""
        return "accuracy" if "reward" not in self.config.get("task", {}) else "mean_reward"

    @property
    def positions(self) -> int:
        """M, words of the fragment; 0 if it was not tuned."""
        return int(self.start.get("positions", 0))

    @property
    def z(self) -> FloatArray | None:
        """The consensus (M, N); None if there is none."""
        z = self.arrays.get("server/z")
        return z if z is not None and z.size else None

    @property
    def roster(self) -> list[Mapping[str, Any]]:
        return list(self.state.get("roster", ()))

    @property
    def best(self) -> tuple[int, ...]:
        """Indices of the words of the chosen fragment; empty before it is chosen."""
        return tuple(self.state.get("candidates", {}).get("best", ()))

    @property
    def fragment(self) -> tuple[str, ...]:
        return tuple((self.result or {}).get("fragment", ()))

    @property
    def phase(self) -> str:
        """Phase of the coordinator; "starting" before the first step."""
        if self.result is not None:
            return "done"
        phases = [event["phase"] for event in self.kind("phase") if event["phase"] != "done"]
        return phases[-1] if phases else "tuning" if self.steps else "starting"

    @cached_property
    def vocabulary(self) -> Mapping[int, str]:
        """Words by index, as far as the record determines them.

        Of a vocabulary that the sites agreed on from their texts, it has only the chosen words.
        """
        method = self.config.get("method", {})
        spec = method.get("vocabulary", "builtin")
        chosen = dict(zip(self.best, self.fragment, strict=False))
        if spec == "pmi":
            return chosen
        if spec == "propose":
            return dict(enumerate(self.hints))
        with suppress(AsyndbtError):
            words = load_vocabulary(spec, Path())[: method.get("vocabulary_limit")]
            known = dict(enumerate(words))
            if len(known) == self.start.get("words") and known.items() >= chosen.items():
                return known
        return chosen


def read_record(directory: Path) -> Record:
    """Read a run's directory, finished or not.

    Raises
    ------
    RunDirectoryError
        If no run is recorded there, or another version wrote its state.
    """
    if not (directory / "config.toml").exists():
        raise RunDirectoryError(
            f"{directory} is not the directory of a run: no config.toml in it; give one that "
            "'asyndbt run' has written"
        )
    text = (directory / "config.toml").read_text("utf-8")
    state, arrays = _latest(directory / "checkpoint")
    return Record(
        name=directory.resolve().name,
        config_text=text,
        config=tomllib.loads(text),
        events=tuple(RunDirectory(directory).events()),
        result=_json(directory / "result.json"),
        model=_json(directory / "model.json"),
        traffic=_json(directory / "traffic.json") or state.get("more", {}).get("traffic", {}),
        state=state,
        arrays=arrays,
        parts={
            part.name: _site_part(part)
            for part in sorted((directory / "sites").glob("*"))
            if part.is_dir() and not part.name.startswith(".")
        },
        hints=tuple((_json(directory / "vocabulary.json") or {}).get("vocabulary", ())),
    )


def _json(file: Path) -> Any:
    return read_json(file) if file.exists() else None


def _latest(file: Path) -> tuple[Mapping[str, Any], Mapping[str, FloatArray]]:
    """Return fields and arrays of the latest state that can be read, if there is one."""
    states, _ = saved_states(file)
    return unpack_state(states[0].data) if states else ({}, {})


def _site_part(folder: Path) -> SitePart:
    _, arrays = _latest(folder / "state")
    q = arrays.get("q")
    settled = arrays.get("settled", Plan.demonstrations(q) if q is not None and q.size else ())
    prompt = folder / "prompt.json"
    return SitePart(
        p=arrays.get("p"),
        q=q,
        chosen=tuple(int(index) for index in settled),
        prompt=TunedPrompt.load(prompt) if prompt.exists() else None,
    )
