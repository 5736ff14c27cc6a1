"""What the sites last said of themselves, and what is told of a server step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from asyndbt.federation._membership import Roster
from asyndbt.federation._messages import Score, StepDone
from asyndbt.optim import ServerState, row_entropies


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """A site's latest step in numbers.

    Parameters
    ----------
    loss : float
        Mean loss, nats, over `answered` requests.
    answered : int
    entropy_q, entropy_q_max : float
        Mean and largest entropy of the rows of q, nats.
    validation : Score
        Of the look at validation data that came with the step, if one did.
    """

    loss: float
    answered: int
    entropy_q: float
    entropy_q_max: float
    validation: Score

    @classmethod
    def of(cls, report: StepDone) -> Self:
        """Take the figures out of a report."""
        return cls(
            report.loss,
            report.answered,
            report.entropy_q,
            report.entropy_q_max,
            report.validation,
        )

    def state(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return what `state` was written of."""
        return cls(**{**state, "validation": Score(**state["validation"])})


def step_event(
    server: ServerState, roster: Roster, latest: Mapping[str, StepMetrics], active: Sequence[str]
) -> dict[str, Any]:
    """Return the data of the notice of a server step.

    Parameters
    ----------
    server : ServerState
        After the step.
    roster : Roster
    latest : mapping of str to Figures
    active : sequence of str
        Sites whose reports the step has used.
    """
    rows = [roster[name].index for name in active]
    distance = np.abs(server.p_all[rows] - server.z).sum(axis=(1, 2))
    looks = {name: figures.validation for name, figures in latest.items() if figures.validation.n}
    return {
        "iteration": server.iteration,
        "active": list(active),
        "staleness": {m.name: server.iteration - m.used_at for m in roster.live()},
        "gone": [m.name for m in roster if m.gone],
        "loss": {name: figures.loss for name, figures in latest.items() if figures.answered},
        "validation": {name: validation_event(score) for name, score in looks.items()},
        "entropy_p": float(row_entropies(server.z).mean()) if server.z.size else 0.0,
        "entropy_q": {name: figures.entropy_q for name, figures in latest.items()},
        "calls": {m.name: m.spent.calls for m in roster},
        "planes": len(server.planes),
        "consensus_distance": float(distance.mean()),
    }


def validation_event(score: Score) -> dict[str, float]:
    """Return a score on validation data, of at least one example, as a ``step`` event has it."""
    return {"accuracy": score.correct / score.n, "loss": score.loss, "n": score.n}
