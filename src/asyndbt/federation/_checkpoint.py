"""Checkpoints of the coordinator: its state as bytes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import RunDirectoryError
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._lower_level import LowerLevelEstimate
from asyndbt.federation._messages import Message, decode, encode
from asyndbt.federation._plan import Plan
from asyndbt.federation._state import pack_state, unpack_state
from asyndbt.optim import ServerState

_SLOTS = ("outstanding", "given_up")


def snapshot(coordinator: Coordinator, **more: Any) -> bytes:
    """Return the state of a coordinator, and JSON fields to store with it, as bytes."""
    c = coordinator
    arrays: dict[str, NDArray[Any]] = {f"server/{k}": v for k, v in c.server.arrays().items()}
    for group, messages in _messages(c).items():
        arrays |= {f"{group}/{site}": _bytes(message) for site, message in messages.items()}
    for member in c.roster:
        for slot in _SLOTS:
            if getattr(member, slot) is not None:
                arrays[f"{slot}/{member.name}"] = _bytes(getattr(member, slot))
    fields: dict[str, Any] = {
        "agreement": c.plan.agreement,
        "phase": c.phase,
        "stop_reason": c.stop_reason,
        "next_id": c.next_id,
        "roster": c.roster.state(),
        "tuning": c.tuning.state(),
        "candidates": c.selection.state(),
        "refresh": None,
        "more": more,
    }
    if c.tuning.estimate is not None:
        fields["refresh"], estimate_arrays = c.tuning.estimate.state()
        arrays |= {f"refresh/{name}": array for name, array in estimate_arrays.items()}
    return pack_state(fields, arrays)


def restore(plan: Plan, data: bytes) -> tuple[Coordinator, dict[str, Any]]:
    """Inverse of `snapshot`.

    Returns
    -------
    coordinator : Coordinator
    more : dict
        The JSON fields stored with it.

    Raises
    ------
    RunDirectoryError
        If the state was written under other settings, or by another version.
    """
    fields, arrays = unpack_state(data)
    if fields["agreement"] != plan.agreement:
        raise RunDirectoryError(
            "the checkpoint was written under other settings: resume with the config it was "
            "started with, or start a new run in another directory"
        )
    c = Coordinator(plan)
    c.phase, c.stop_reason = fields["phase"], fields["stop_reason"]
    c.next_id = fields["next_id"]
    c.roster.restore(fields["roster"])
    c.selection.restore(fields["candidates"])
    c.tuning.restore(fields["tuning"])
    c.tuning.server = ServerState.from_arrays(_group(arrays, "server"))
    for group, messages in _messages(c).items():
        for site, work in _group(arrays, group).items():
            messages[site] = decode(work.tobytes())
    for site, work in _group(arrays, "outstanding").items():
        member, message = c.roster[site], decode(work.tobytes())
        c.roster.hand_out(member, message, member.sent_at)  # type: ignore[arg-type]
    for site, work in _group(arrays, "given_up").items():
        c.roster[site].given_up = decode(work.tobytes())  # type: ignore[assignment]
    if fields["refresh"] is not None:
        c.tuning.estimate = LowerLevelEstimate.restore(fields["refresh"], _group(arrays, "refresh"))
    return c, fields["more"]


def _messages(c: Coordinator) -> dict[str, dict[str, Any]]:
    """Messages that the coordinator keeps, by site."""
    return {"pending": c.tuning.pending, "evaluations": c.evaluations}


def _bytes(message: Message) -> NDArray[np.int8]:
    return np.frombuffer(encode(message), dtype=np.int8)


def _group(arrays: Mapping[str, NDArray[Any]], group: str) -> dict[str, NDArray[Any]]:
    prefix = f"{group}/"
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
