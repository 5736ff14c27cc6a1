"""The phases of the training: which episodes are drawn, and when the next phase begins."""

from dataclasses import dataclass
from typing import Final

from .episodes import Recipe

__all__ = ["PHASES", "Phase"]


@dataclass(frozen=True)
class Phase:
    """A mixture of recipes, kept until all probes in `gate` are reached or `cap` steps are done."""

    name: str
    mixture: tuple[tuple[float, Recipe], ...]
    gate: dict[str, float]
    cap: int


PHASES: Final = (
    Phase(
        "lexicon",
        (
            (0.45, Recipe((0,), truthful=0.9, note=0.9, plain=0.3)),
            (0.20, Recipe((2, 4), truthful=0.5, note=0.3, plain=0.4)),
            (0.35, Recipe((4, 6), "arbitrary", note=0.1, plain=0.7)),
        ),
        {"plain": 0.93, "clue": 0.88},
        cap=1500,
    ),
    Phase(
        "binding",
        (
            (0.20, Recipe((0,), truthful=0.5, note=0.8)),
            (0.15, Recipe((2, 4), truthful=0.3, note=0.3)),
            (0.50, Recipe((4, 6, 8, 10), "arbitrary", note=0.15, plain=0.5)),
            (0.15, Recipe((6, 8, 10), "flipped", note=0.15, plain=0.5)),
        ),
        {"arbitrary4": 0.85, "clue": 0.93},
        cap=2000,
    ),
    Phase(
        "mix",
        (
            (0.20, Recipe((0,), truthful=0.2, note=0.8)),
            (0.38, Recipe((1, 2, 2, 3, 4, 4, 6, 8, 16), truthful=0.15, note=0.6)),
            (0.17, Recipe((1, 2, 2, 3, 4, 8, 12), note=0.4, noise=0.2)),
            (0.20, Recipe((2, 3, 4, 6, 8, 8, 12, 16), "arbitrary", note=0.3)),
            (0.05, Recipe((2, 4, 6, 8, 12), "flipped", note=0.3)),
        ),
        {},
        cap=1_000_000,
    ),
)
