"""Exactly what crosses a site's border, and nothing else.

Every message is a frozen record of numbers: policies over *indices* of an agreed vocabulary,
losses, counts. No text field exists beyond the name of the site, so no text, label,
demonstration, prompt or answer can travel, and the demonstration policy q has no field at all.

Deliberate departure: the paper sends every plane's multiplier and signs to the worker. A worker
only ever uses their sum, ``pull = sum_l lambda^l a^l(v) + theta^(v)``, so that sum is sent: the
same step, fewer bytes, and nothing about other planes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import MessageError
from asyndbt.federation.codec import pack, unpack
from asyndbt.optim import FloatArray, IntArray

__all__ = [
    "PROTOCOL_VERSION",
    "Assignment",
    "Confirm",
    "ConfirmDone",
    "Evaluate",
    "EvaluateDone",
    "Join",
    "LowerDone",
    "LowerRound",
    "Message",
    "Report",
    "Score",
    "Spent",
    "Step",
    "StepDone",
    "byte_bound",
    "decode",
    "encode",
]

PROTOCOL_VERSION = 1
_HEADER_BOUND = 2_000


@dataclass(frozen=True, slots=True)
class Spent:
    """A site's figures since the start of the run: answers paid for, and how they fared."""

    calls: int = 0
    requests: int = 0
    failed: int = 0
    unparsed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """Right answers out of `n` (`correct` may be a mean over draws), mean loss in nats."""

    correct: float = 0.0
    n: int = 0
    loss: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all messages carry: the site's name."""

    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Message):
    """Work for one site; `id` rises over a run, `iteration` is the server step it is based on."""

    id: int
    iteration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Message):
    """A site's answer to the assignment `id`, with its figures so far."""

    id: int
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(Message):
    """A site offers itself: sizes that must agree, a digest of the agreed settings, counts."""

    positions: int
    words: int
    agreement: str
    train: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Assignment):
    """Take `local_steps` worker steps: consensus z (M, N) and pull (M, N)."""

    z: FloatArray
    pull: FloatArray
    local_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(Report):
    """The site's fragment policy p (M, N) after the step, loss and entropy figures."""

    p: FloatArray
    loss: float
    entropy_q: float
    exhausted: bool
    validation: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerRound(Assignment):
    """One round of the lower-level estimate from `point`, with z and rho, all (M, N)."""

    point: FloatArray
    z: FloatArray
    rho: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerDone(Report):
    """The lower-level iterate p (M, N) after the round."""

    p: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Assignment):
    """Score candidate fragments (C, M) of word indices on the site's validation data."""

    candidates: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmDone(Report):
    """Mean validation loss of every candidate (C,), over `n` examples."""

    losses: FloatArray
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate(Assignment):
    """Settle the demonstrations for this fragment (M,), then score the test split once."""

    fragment: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateDone(Report):
    """Test scores of the plain prompt, random demonstrations and the tuned prompt."""

    plain: Score
    random_icl: Score
    tuned: Score
    validation: Score


_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        Join,
        Step,
        StepDone,
        LowerRound,
        LowerDone,
        Confirm,
        ConfirmDone,
        Evaluate,
        EvaluateDone,
    )
}
_RECORDS: dict[type, type] = {Score: Score, Spent: Spent}
_HINTS: dict[str, dict[str, Any]] = {name: get_type_hints(kind) for name, kind in _KINDS.items()}


def encode(message: Message) -> bytes:
    """Write a message as bytes."""
    fields: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        else:
            fields[field.name] = dataclasses.astuple(value) if _is_record(value) else value
    kind = type(message).__name__
    return pack({"version": PROTOCOL_VERSION, "kind": kind, "content": fields}, arrays)


def decode(data: bytes) -> Message:
    """Read and check a message.

    Raises
    ------
    MessageError
        If the bytes are malformed, of another version, of an unknown kind, or if a field is
        missing, unknown, of another type, or not finite.
    """
    header, arrays = unpack(data)
    if header.get("version") != PROTOCOL_VERSION:
        raise MessageError(
            f"the message has version {header.get('version')!r}, this program speaks "
            f"{PROTOCOL_VERSION}: install the same release at every site"
        )
    kind = header.get("kind")
    if kind not in _KINDS:
        raise MessageError(f"unknown kind of message: {kind!r}")
    hints, content = _HINTS[kind], header.get("content")
    if not isinstance(content, dict) or {*content, *arrays} != set(hints):
        raise MessageError(f"{kind}: the fields are not exactly {sorted(hints)}")
    return _KINDS[kind](
        **{
            name: _checked(kind, name, hint, {**content, **arrays}[name])
            for name, hint in hints.items()
        }
    )


def byte_bound(kind: type[Message], positions: int, words: int, candidates: int = 0) -> int:
    """Most bytes that a message of this kind may have: the documented cost of a step.

    Parameters
    ----------
    kind : type of Message
    positions, words : int
        M and N.
    candidates : int
        Fragments in a `Confirm`.
    """
    matrices = {Step: 2, StepDone: 1, LowerRound: 3, LowerDone: 1}.get(kind, 0)
    integers = {Confirm: candidates * positions, ConfirmDone: candidates, Evaluate: positions}
    return _HEADER_BOUND + 8 * (matrices * positions * words + integers.get(kind, 0))


def _is_record(value: object) -> bool:
    return type(value) in _RECORDS


def _checked(kind: str, name: str, hint: Any, value: Any) -> Any:
    """Return the value in the type that the message declares, or raise MessageError."""
    if hint in _RECORDS:
        types = get_type_hints(hint).values()
        if not isinstance(value, list) or len(value) != len(types):
            raise MessageError(f"{kind}.{name} is not a {hint.__name__}")
        return hint(*(_scalar(kind, name, t, v) for t, v in zip(types, value, strict=True)))
    if hint in (FloatArray, IntArray):
        wanted = np.float64 if hint == FloatArray else np.int64
        if not isinstance(value, np.ndarray) or value.dtype != wanted:
            raise MessageError(f"{kind}.{name} is not an array of {wanted.__name__}")
        if not np.isfinite(value).all():
            raise MessageError(f"{kind}.{name} is not finite")
        return value
    return _scalar(kind, name, hint, value)


def _scalar(kind: str, name: str, hint: type, value: Any) -> Any:
    fits = type(value) is hint or (hint is float and type(value) is int)
    if not fits or (hint is float and not np.isfinite(value)):
        raise MessageError(f"{kind}.{name} is {value!r}, not a {hint.__name__}")
    if hint is str and len(value) > 200:
        raise MessageError(f"{kind}.{name} is longer than 200 characters")
    return float(value) if hint is float else value
