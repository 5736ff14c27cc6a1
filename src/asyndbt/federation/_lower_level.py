"""Estimate of the lower-level solution phi, and the cutting planes that follow from it.

K_in rounds of the augmented Lagrangian (method section 4; paper Eqs. 7-13), each one exchange with
the sites that take part.  Deliberate departure: ADBO and the paper stop every site for it.  Here
only free sites are asked, a round ends with the quorum, and a silent site is represented by its
last known policy; ``refresh = "barrier"`` is the literal form.  Server steps continue meanwhile:
the planes cut off the iterate at which the estimate began, since h at a later one would include
the progress of tuning.  Sites that are not live count neither here nor in the planes; one
that has not reported when an estimate begins, or returns while it is under way, takes part in it
only if it is asked.
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
_ARRAYS = ("start_p", "start_z", "p_all", "rho", "present", "z")


@dataclass(slots=True)
class LowerLevelEstimate:
    """An estimate in progress.

    Parameters
    ----------
    started : int
        Server step at which it began.
    asked : tuple of int
        Rows of the sites that take part.
    start_p, start_z : FloatArray
        (A, M, N) policies of these sites and (M, N) consensus at that step.
    p_all, rho : FloatArray
        (W, M, N) lower-level policies and multipliers, in the order of the sites.
    present : array of bool
        (W,) sites that had reported when it began or were asked, and have not come back since.
    z : FloatArray
        (M, N) lower-level consensus.
    round : int
        Number of rounds completed.
    answered : dict of int to FloatArray
        Policies received in the current round, by row.
    """

    started: int
    asked: tuple[int, ...]
    start_p: FloatArray
    start_z: FloatArray
    p_all: FloatArray
    rho: FloatArray
    present: Rows
    z: FloatArray
    round: int = 0
    answered: dict[int, FloatArray] = field(default_factory=dict)

    @classmethod
    def begin(cls, server: ServerState, asked: Sequence[int]) -> LowerLevelEstimate:
        """Start at the current iterate with rho = 0."""
        present = server.reported.copy()
        present[list(asked)] = True
        return cls(
            started=server.iteration,
            asked=tuple(asked),
            start_p=server.p_all[list(asked)],
            start_z=server.z.copy(),
            p_all=server.p_all.copy(),
            rho=np.zeros_like(server.p_all),
            present=present,
            z=server.z.copy(),
        )

    def waits_for(self, index: int) -> bool:
        """Whether the site in this row has yet to report in this round."""
        return index in self.asked and index not in self.answered

    def take(self, index: int, iteration: int, p: FloatArray) -> None:
        """Record a policy (M, N), unless `iteration` shows that it is of an earlier estimate."""
        if iteration >= self.started and self.waits_for(index):
            self.answered[index] = p

    def leave_out(self, index: int) -> None:
        """Exclude the site in this row, which would bring in what it thought before it was gone."""
        kept = [row != index for row in self.asked]
        self.start_p = self.start_p[kept]
        self.asked = tuple(row for row in self.asked if row != index)
        self.answered.pop(index, None)
        self.present[index] = False

    def finish_round(self, live: Rows, settings: Settings) -> bool:
        """Update z and rho with the policies of this round; return whether it was the last.

        Parameters
        ----------
        live : array of bool
            (W,) sites that take part.
        settings : Settings
        """
        for index, p in self.answered.items():
            self.p_all[index] = p
        counted = live & self.present
        self.z, self.rho[counted] = lower_server_step(
            self.z, self.p_all[counted], self.rho[counted], settings
        )
        self.answered = {}
        self.round += 1
        return self.round >= settings.lower_rounds

    def cut(self, server: ServerState, live: Rows, settings: Settings) -> tuple[ServerState, float]:
        """Return the server with the planes that the estimate implies, and the largest h."""
        asked, start = np.array(self.asked, dtype=np.int64), self.p_all.copy()
        start[asked] = self.start_p
        # A row with phi = start adds nothing to h, and its signs are zero.
        phi = np.where(live[:, None, None], self.p_all, start)
        h = violation(start, self.start_z, phi, self.z)
        planes = add_planes(
            server.planes, start, self.start_z, phi, self.z, settings.plane_tolerance
        )
        planes = refresh_products(planes, server.p_all, asked)
        return replace(server, planes=planes), float(h.max(initial=0.0))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return JSON and arrays for a checkpoint."""
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
        """Inverse of `state`."""
        return cls(
            started=fields["started"],
            asked=tuple(fields["asked"]),
            round=fields["round"],
            answered={index: arrays[f"answer_{index}"] for index in fields["answered"]},
            **{name: arrays[name] for name in _ARRAYS},
        )
