"""The agreement of coordinator and workers before a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from typing import Literal

from asyndbt.federation._privacy import Privacy
from asyndbt.lm import Limits
from asyndbt.optim import FloatArray, IntArray, Settings, read_out, read_out_distinct


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The agreement of a run.

    Parameters
    ----------
    sites : tuple of str
        Names of the sites expected, in the order in which sums are taken.
    positions, words : int
        M and N of the fragment; M = 0 tunes demonstrations only.
    settings : Settings
        Numbers of the method.
    vocabulary_digest : str
        Digest of the agreed vocabulary: an index must mean the same word everywhere.
    quorum : int
        S, reports that a server step waits for.
    staleness : int
        tau, server steps within which every live site is used once; with 1, in every step.
    lease : float
        Seconds of silence after which a site with work is declared gone.
    refresh : {"free", "barrier"}
        Whether a lower-level estimate asks the free sites or stops all of them.
    consensus : bool
        False for one site or the centralised form: no consensus variables.
    local_steps : int
        Worker steps per assignment.
    iterations : int
        Most server steps.
    confirm_candidates : int
        C, fragments compared on validation data at the end.
    validate_every : int
        Worker steps between evaluations of the validation split while tuning; 0 for none.
    validations : int
        Most such evaluations.
    patience : int or None
        Such evaluations without improvement after which tuning ends; None for no early stopping.
    strikes : int
        Refused reports after which a site is no longer asked.
    limits : Limits
        The most that a site may spend.
    open : bool
        Whether sites may join that are not among those expected.
    shared : str
        Digest of all else that every site must have a copy of, such as the task.
    seed : int
        Seed of the run, for the lot that the coordinator draws.
    privacy : Privacy or None
        The guarantee that every site's reports keep; None for none.
    """

    sites: tuple[str, ...]
    positions: int
    words: int
    settings: Settings = field(default_factory=lambda: Settings())
    vocabulary_digest: str = ""
    quorum: int = 1
    staleness: int = 15
    lease: float = 300.0
    refresh: Literal["free", "barrier"] = "free"
    consensus: bool = True
    local_steps: int = 1
    iterations: int = 1_000
    confirm_candidates: int = 4
    validate_every: int = 0
    validations: int = 3
    patience: int | None = None
    strikes: int = 3
    limits: Limits = field(default_factory=Limits)
    open: bool = False
    shared: str = ""
    seed: int = 0
    privacy: Privacy | None = None

    def fragment(self, policy: FloatArray) -> IntArray:
        """Return the fragment (M,) that a policy (M, N) stands for."""
        return (read_out_distinct if self.settings.distinct_words else read_out)(policy)

    @staticmethod
    def demonstrations(policy: FloatArray) -> IntArray:
        """Return the candidates (U,) of the slots that a policy (U, V) stands for."""
        return read_out(policy)

    @property
    def effects(self) -> int:
        """Number of words whose effects the sites exchange, N or 0."""
        exchanged = self.consensus and self.positions and self.settings.exchange == "effects"
        return self.words if exchanged else 0

    @property
    def hides_consensus(self) -> bool:
        """Whether the noise of private reports hides what so many sites could agree on."""
        if self.privacy is None or not self.positions:
            return False
        return len(self.sites) < self.privacy.useful_sites(self.positions, self.words)

    @property
    def lot(self) -> str:
        """What the coordinator's lot is drawn from: fixed before the run, and by no site.

        It is the same wherever the sites are, since on a tie the order of fragments decides.
        """
        here = _agreement(self.positions, self.words, self.vocabulary_digest, self.settings, "")
        return f"{here}/{self.seed}"

    @property
    def agreement(self) -> str:
        """Digest of everything that must be equal at all sites."""
        more = (
            self.shared if self.privacy is None else f"{self.shared} {astuple(self.privacy)[:-1]}"
        )
        return _agreement(self.positions, self.words, self.vocabulary_digest, self.settings, more)


@lru_cache(maxsize=16)
def _agreement(positions: int, words: int, vocabulary: str, settings: Settings, shared: str) -> str:
    agreed = [positions, words, vocabulary, settings.model_dump(), *([shared] if shared else [])]
    return hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()[:16]


def vocabulary_digest(words: Sequence[str]) -> str:
    """Digest of a vocabulary in its order."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
