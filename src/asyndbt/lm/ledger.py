"""What a run asked of its language model, and what of it was paid for."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyndbt.lm.protocol import Usage

__all__ = ["Ledger", "Tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a gateway has come: belongs into a checkpoint, with the state that did the asking.

    Parameters
    ----------
    requests : int
        Prompts asked for, repeats included.
    failed : int
        Prompts given up without an answer.
    unparsed : int
        Requests whose answer favours no label, repeats included.
    paid : int
        Answers paid for.
    """

    requests: int = 0
    failed: int = 0
    unparsed: int = 0
    paid: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.requests + other.requests,
            self.failed + other.failed,
            self.unparsed + other.unparsed,
            self.paid + other.paid,
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """The only counter of requests and of what they cost.

    What was paid is the sum over the cache rows of the run: every distinct request is paid once and
    stored in the same breath, so a killed run forgets none.  What was asked is counted in a `Tally`
    that goes into the checkpoint, next to the state that led to the asking.  A resumed run asks
    again what it asked since its checkpoint, finds it in the cache, and ends at the figures of an
    uninterrupted run.

    Parameters
    ----------
    tally : Tally
        What was asked.
    paid : Usage
        What was paid for, one call a stored answer.
    lost : Usage
        What requests without an answer may have cost.
    attempts : int
        Requests without an answer, those included that cost nothing and were sent again.
    refused : int
        Prompts that the provider will not answer; they are among the stored answers.

    Examples
    --------
    >>> ledger = Ledger(Tally(requests=10, failed=1), Usage(calls=6, tokens_in=120, tokens_out=6))
    >>> ledger.cached
    3
    """

    tally: Tally
    paid: Usage
    lost: Usage = field(default_factory=Usage)
    attempts: int = 0
    refused: int = 0

    @property
    def spent(self) -> Usage:
        """What the budget was charged for: answers, and what was lost."""
        return self.paid + self.lost

    @property
    def sent(self) -> int:
        """Requests that reached the provider, as it would count them."""
        return self.paid.calls + self.attempts

    @property
    def requests(self) -> int:
        """Prompts asked for, repeats included."""
        return self.tally.requests

    @property
    def failed(self) -> int:
        """Prompts given up without an answer."""
        return self.tally.failed

    @property
    def unparsed(self) -> int:
        """Requests whose answer favours no label, repeats included."""
        return self.tally.unparsed

    @property
    def cached(self) -> int:
        """Requests that needed no sending: ``requests - paid.calls - failed``.

        Never below 0: right after a resume the cache is ahead of the checkpoint.
        """
        return max(0, self.requests - self.paid.calls - self.failed)

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(
            self.tally + other.tally,
            self.paid + other.paid,
            self.lost + other.lost,
            self.attempts + other.attempts,
            self.refused + other.refused,
        )
