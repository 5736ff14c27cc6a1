"""One estimate of the lower level, phi, and the planes that follow from it.

K_in rounds of the augmented Lagrangian (method section 4; paper Eqs. 7-13), each one exchange with
the sites asked. Deliberate departure: ADBO and the paper stop every site at a refresh. Here only
the sites that are free are asked, a round ends with the quorum, and a silent site stands in with
its last known policy; ``refresh = "barrier"`` is the literal form. Server steps go on meanwhile:
the planes cut off the point at which the estimate began, since h at a later one would also count
the way that tuning has gone. Sites that are not live count neither here nor in the planes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim import (
    FloatArray,
    ServerState,
    Settings,
    add_planes,
    lower_server_step,
    refresh_products,
    violation,
)

Rows = NDArray[np.bool_]
_ARRAYS = ("start_p", "start_z", "p_all", "rho", "z")


@dataclass(slots=True)
class LowerLevelEstimate:
    """State of an estimate that is under way.

    Parameters
    ----------
    started : int
        Server step at which it began.
    asked : tuple of int
        Rows of the sites that take part.
    start_p, start_z : FloatArray
        (A, M, N) policies of the sites asked, and (M, N) consensus, at which it began.
    p_all, rho : FloatArray
        (W, M, N) lower-level policies and multipliers, in the order of the sites.
    z : FloatArray
        (M, N) lower-level consensus.
    round : int
        Rounds finished.
    answered : dict of int to FloatArray
        Policies that came in during this round.
    """

    started: int
    asked: tuple[int, ...]
    start_p: FloatArray
    start_z: FloatArray
    p_all: FloatArray
    rho: FloatArray
    z: FloatArray
    round: int = 0
    answered: dict[int, FloatArray] = field(default_factory=dict)

    @classmethod
    def begin(cls, server: ServerState, asked: Sequence[int]) -> LowerLevelEstimate:
        """Start at the current iterate with rho = 0."""
        return cls(
            started=server.iteration,
            asked=tuple(asked),
            start_p=server.p_all[list(asked)],
            start_z=server.z.copy(),
            p_all=server.p_all.copy(),
            rho=np.zeros_like(server.p_all),
            z=server.z.copy(),
        )

    def waits_for(self, index: int) -> bool:
        """Whether the site in this row still owes an answer to this round."""
        return index in self.asked and index not in self.answered

    def take(self, index: int, iteration: int, p: FloatArray) -> None:
        """Take in an answer to work of this server step, unless it was for an earlier estimate."""
        if iteration >= self.started and self.waits_for(index):
            self.answered[index] = p

    def finish_round(self, live: Rows, settings: Settings) -> bool:
        """Take this round's answers in and update z and rho; True when that was the last round."""
        for index, p in self.answered.items():
            self.p_all[index] = p
        self.z, self.rho[live] = lower_server_step(
            self.z, self.p_all[live], self.rho[live], settings
        )
        self.answered = {}
        self.round += 1
        return self.round >= settings.lower_rounds

    def cut(self, server: ServerState, live: Rows, settings: Settings) -> tuple[ServerState, float]:
        """Add the planes that this estimate calls for; also the largest violation h."""
        asked, start = np.array(self.asked, dtype=np.int64), self.p_all.copy()
        start[asked] = self.start_p
        # A row that stands where it should adds nothing to h, and its signs are zero.
        phi = np.where(live[:, None, None], self.p_all, start)
        h = violation(start, self.start_z, phi, self.z)
        planes = add_planes(
            server.planes, start, self.start_z, phi, self.z, settings.plane_tolerance
        )
        planes = refresh_products(planes, server.p_all, asked)
        return replace(server, planes=planes), float(h.max(initial=0.0))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays for a checkpoint."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"answer_{index}": p for index, p in self.answered.items()}
        return {
            "started": self.started,
            "asked": list(self.asked),
            "round": self.round,
            "answered": list(self.answered),
        }, arrays

    @classmethod
    def restore(
        cls, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> LowerLevelEstimate:
        """Take over what `state` wrote."""
        return cls(
            started=fields["started"],
            asked=tuple(fields["asked"]),
            round=fields["round"],
            answered={index: arrays[f"answer_{index}"] for index in fields["answered"]},
            **{name: arrays[name] for name in _ARRAYS},
        )
