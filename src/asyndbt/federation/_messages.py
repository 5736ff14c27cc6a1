"""The messages between coordinator and sites, and their checks: nothing else crosses a border.

Every message is a frozen record of numbers: policies over *indices* of an agreed vocabulary,
losses, counts.  The only texts are the site's name and a digest, so no text, label, demonstration,
prompt or answer can travel, and the demonstration policy q has no field at all.

Every number is bounded, so that no arithmetic on what a site reports, or is sent, can overflow:
integers and records lie in 0..2^53, other numbers and arrays in -2^53..2^53.

Deliberate departure: the paper sends every plane's multiplier and signs to the worker.  A worker
uses only their sum, ``pull = sum_l lambda^l a^l(v) + theta^(v)``, so that sum is sent: the same
step, fewer bytes, and nothing about other planes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from asyndbt._spelling import site_name_fault
from asyndbt.errors import MessageError
from asyndbt.federation._codec import pack, unpack
from asyndbt.optim import FloatArray, IntArray
from asyndbt.scoring import Score, Spent

BOUND = 2**53


RECORDS: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in (Score, Spent)}


def check_record(where: str, hint: Any, value: Any) -> Any:
    """Check a field of a message, and return it in its declared type.

    Parameters
    ----------
    where : str
        Kind of message and field, for the error.
    hint : Any
        Declared type.
    value : Any
        Decoded JSON, or an array.

    Raises
    ------
    MessageError
        If the value is of another type or out of bounds.
    """
    if hint in RECORDS:
        return _record(where, hint, value)
    if hint in (FloatArray, IntArray):
        wanted = np.float64 if hint == FloatArray else np.int64
        if not isinstance(value, np.ndarray) or value.dtype != wanted:
            raise MessageError(f"{where} is not an array of {wanted.__name__}")
        # A comparison with NaN is false.
        if not ((value >= -BOUND) & (value <= BOUND)).all():
            raise MessageError(f"{where} is not finite, or not in -2^53..2^53")
        return value
    return _scalar(where, hint, value, least=0 if hint is int else -BOUND)


def _record(where: str, kind: type, value: Any) -> Any:
    hints = RECORDS[kind]
    if not isinstance(value, list) or len(value) != len(hints):
        raise MessageError(f"{where} is not a {kind.__name__}")
    named = zip(hints.items(), value, strict=True)
    record = kind(*(_scalar(f"{where}.{name}", hint, v, least=0) for (name, hint), v in named))
    if isinstance(record, Score) and record.correct > record.n:
        raise MessageError(f"{where}: {record.correct} right answers of {record.n}")
    return record


def _scalar(where: str, hint: Any, value: Any, least: int) -> Any:
    if not (type(value) is hint or (hint is float and type(value) is int)):
        raise MessageError(f"{where} is {describe_record(value)}, not a {hint.__name__}")
    if hint in (int, float) and not least <= value <= BOUND:
        raise MessageError(f"{where} is not a number in {least}..2^53")
    if hint is str and len(value) > 200:
        raise MessageError(f"{where} is longer than 200 characters")
    if where.endswith(".site") and (fault := site_name_fault(value)):
        raise MessageError(f"{where} is not a site's name, which {fault}")
    return float(value) if hint is float else value


def describe_record(value: Any) -> str:
    """Describe an invalid value for an error: of texts and lists only the type."""
    return repr(value) if type(value) in (bool, float) else f"of type {type(value).__name__}"


def _nothing() -> FloatArray:
    return np.empty(0)


PROTOCOL_VERSION = 2
_HEADER_BOUND = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Base of all messages, with the site's name."""

    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Message):
    """Work for one site; `id` increases over a run, `iteration` is the server step it follows."""

    id: int
    iteration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Message):
    """A site's report on the assignment `id`, with its usage so far."""

    id: int
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(Message):
    """An offer to take part: sizes and digest of the settings, which must agree, and counts."""

    positions: int
    words: int
    agreement: str
    train: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Assignment):
    """Take `local_steps` worker steps: consensus z (M, N) and pull (M, N).

    `effects` and `precisions` (N,), or (0,), are what the answers of all other sites say of words.
    """

    z: FloatArray
    pull: FloatArray
    local_steps: int
    effects: FloatArray = field(default_factory=_nothing)
    precisions: FloatArray = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(Report):
    """The site's fragment policy p (M, N) after the step, and the fragment (M,) it would choose.

    `loss` is the mean over `answered` requests, meaningless if that is 0; `entropy_q` is the mean
    over the rows of q and `entropy_q_max` the largest; all in nats. `effects` and `precisions`
    (N,), or (0,), are posterior means and precisions of words' effects by the site's own answers.
    """

    p: FloatArray
    proposal: IntArray
    loss: float
    answered: int
    entropy_q: float
    entropy_q_max: float
    exhausted: bool
    validation: Score
    effects: FloatArray = field(default_factory=_nothing)
    precisions: FloatArray = field(default_factory=_nothing)


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
    """Compare fragments, `candidates` (C, M) of word indices, on validation and training data."""

    candidates: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmDone(Report):
    """Loss of every fragment (C,), nats: the mean over `n` examples, and what the site expects."""

    losses: FloatArray
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate(Assignment):
    """Choose the prompt, with this fragment (M,) or the site's own; score the test split once."""

    fragment: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateDone(Report):
    """Test scores of the plain prompt, random demonstrations and the tuned prompt; validation.

    `kept_own` says that the site prefers its own fragment to the one that was chosen.
    """

    plain: Score
    random_icl: Score
    tuned: Score
    validation: Score
    kept_own: bool


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
_HINTS: dict[str, dict[str, Any]] = {name: get_type_hints(kind) for name, kind in _KINDS.items()}


def encode(message: Message) -> bytes:
    """Write a message as bytes.

    Raises
    ------
    MessageError
        If a value is not finite, or an array of another type.
    """
    fields: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    kind = type(message).__name__
    for name in _HINTS[kind]:
        value = getattr(message, name)
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            fields[name] = dataclasses.astuple(value) if type(value) in RECORDS else value
    try:
        return pack({"version": PROTOCOL_VERSION, "kind": kind, "content": fields}, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{kind} cannot be written: {error}") from error


def decode(data: bytes, limit: int | None = None) -> Message:
    """Read and check a message.

    Parameters
    ----------
    data : bytes
    limit : int or None
        Largest size, bytes.

    Raises
    ------
    MessageError
        If the bytes are too many, malformed, of another version, of an unknown kind, or if a
        field is missing, unknown, of another type, or out of bounds.
    """
    if limit is not None and len(data) > limit:
        raise MessageError(f"a message of {len(data)} bytes, where {limit} are the most")
    header, arrays = unpack(data)
    if header.get("version") != PROTOCOL_VERSION:
        raise MessageError(
            f"the message has version {describe_record(header.get('version'))}, this program "
            f"speaks {PROTOCOL_VERSION}: install the same release at every site"
        )
    kind = header.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise MessageError("unknown kind of message")
    hints, content = _HINTS[kind], header.get("content")
    if not isinstance(content, dict) or {*content, *arrays} != set(hints):
        raise MessageError(f"{kind}: the fields are not exactly {sorted(hints)}")
    values = {**content, **arrays}
    return _KINDS[kind](
        **{name: check_record(f"{kind}.{name}", hint, values[name]) for name, hint in hints.items()}
    )


def byte_bound(kind: type[Message], positions: int, words: int, fragments: int = 0) -> int:
    """Return the largest size of a message of this kind, bytes.

    Parameters
    ----------
    kind : type of Message
    positions, words : int
        M and N.
    fragments : int
        C, fragments compared.
    """
    matrices = {Step: 2, StepDone: 1, LowerRound: 3, LowerDone: 1}.get(kind, 0)
    effects = 2 * words if kind in (Step, StepDone) else 0
    integers = {
        StepDone: positions,
        Confirm: fragments * positions,
        ConfirmDone: fragments,
        Evaluate: positions,
    }
    return _HEADER_BOUND + 8 * (matrices * positions * words + effects + integers.get(kind, 0))
