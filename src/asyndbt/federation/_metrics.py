"""Metrics of the sites' latest steps, and the event of a server step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from asyndbt.federation._membership import Roster
from asyndbt.federation._messages import StepDone
from asyndbt.optim import ServerState, row_entropies
from asyndbt.scoring import Score


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """Metrics of a site's latest step.

    Parameters
    ----------
    loss : float
        Mean loss over `answered` requests, nats.
    answered : int
    entropy_q, entropy_q_max : float
        Mean and largest entropy of the rows of q, nats.
    validation : Score
        On the validation split, with n = 0 if none was due.
    """

    loss: float
    answered: int
    entropy_q: float
    entropy_q_max: float
    validation: Score

    @classmethod
    def of(cls, report: StepDone) -> Self:
        """Return the metrics of a report."""
        return cls(
            report.loss,
            report.answered,
            report.entropy_q,
            report.entropy_q_max,
            report.validation,
        )

    def state(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Inverse of `state`."""
        return cls(**{**state, "validation": Score(**state["validation"])})


def step_event(
    server: ServerState, roster: Roster, latest: Mapping[str, StepMetrics], active: Sequence[str]
) -> dict[str, Any]:
    """Return the data of a ``step`` event.

    Parameters
    ----------
    server : ServerState
        After the step.
    roster : Roster
    latest : mapping of str to StepMetrics
        By site.
    active : sequence of str
        Sites whose reports the step used.
    """
    rows = [roster[name].index for name in active]
    distance = np.abs(server.p_all[rows] - server.z).sum(axis=(1, 2))
    return {
        "iteration": server.iteration,
        "active": list(active),
        "staleness": {m.name: server.iteration - m.used_at for m in roster.live()},
        "gone": [m.name for m in roster if m.gone],
        "loss": {name: site.loss for name, site in latest.items() if site.answered},
        "validation": {
            name: validation_event(site.validation)
            for name, site in latest.items()
            if site.validation.n
        },
        "entropy_p": float(row_entropies(server.z).mean()) if server.z.size else 0.0,
        "entropy_q": {name: site.entropy_q for name, site in latest.items()},
        "calls": {m.name: m.spent.calls for m in roster},
        "planes": len(server.planes),
        "consensus_distance": float(distance.mean()),
    }


def validation_event(score: Score) -> dict[str, float]:
    """Return a score (n >= 1) on the validation split as it stands in a ``step`` event."""
    return {"accuracy": score.correct / score.n, "loss": score.loss, "n": score.n}
