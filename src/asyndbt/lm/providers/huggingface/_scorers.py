"""From a kind of model to what scores labels with it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from asyndbt.errors import ModelError
from asyndbt.lm.providers.huggingface._causal import CausalScorer
from asyndbt.lm.providers.huggingface._loading import PROVIDER, Loaded
from asyndbt.lm.providers.huggingface._masked import MaskedScorer
from asyndbt.lm.providers.huggingface._seq2seq import Seq2SeqScorer
from asyndbt.lm.providers.huggingface._tokens import Tokens

__all__ = ["Scorer", "make_scorer"]


class Scorer(Protocol):
    """Scores labels after prompts."""

    @property
    def obstacle(self) -> str | None:
        """Why what prompts share is read again for each; None if it is not."""
        ...

    def score(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        """Natural log of p(label | prompt), by prompt and label.

        Parameters
        ----------
        prompts : sequence of tuple of int
        groups : sequence of hashable
            Equal for prompts that begin with the same demonstrations.
        labels : sequence of tuple of int
        """
        ...


def make_scorer(loaded: Loaded, batch_tokens: int) -> Scorer:
    """Return what scores labels with a model, reading so many tokens at once.

    Raises
    ------
    ModelError
        If a masked model's tokeniser has no mask.
    """
    if loaded.kind == "seq2seq":
        return Seq2SeqScorer(loaded.network, batch_tokens)
    if loaded.kind == "causal":
        return CausalScorer(loaded.network, batch_tokens)
    mask = loaded.tokenizer.mask_token_id
    if mask is None:
        raise ModelError(
            f"the tokeniser of {loaded.label} has no mask token; use another model or lm.kind",
            provider=PROVIDER,
        )
    return MaskedScorer(loaded.network, batch_tokens, mask)
