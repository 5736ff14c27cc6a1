"""Labels scored by a model that fills in masks.

A label of k tokens is scored with k masks after the prompt: the sum of the log-probabilities of its
tokens at their masks, all k read at once.  With k = 1 this is exact; with more, no token of the
label sees another one, and labels of different length are read in different contexts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from asyndbt.lm.providers.huggingface._batching import batches, padded
from asyndbt.lm.providers.huggingface._logits import logits_at, summed
from asyndbt.lm.providers.huggingface._tokens import Tokens

__all__ = ["MaskedScorer"]


class MaskedScorer:
    """Scores labels with one pass for every length of labels.

    Parameters
    ----------
    network
        A masked model of the `transformers` library.
    batch_tokens : int
        Tokens read at once.
    mask : int
        The mask's token.
    """

    obstacle = "the model reads both ways"

    def __init__(self, network: Any, batch_tokens: int, mask: int) -> None:
        self._network = network
        self._limit = batch_tokens
        self._mask = mask

    def score(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        """Natural log of p(label | prompt), as far as masks tell it.

        Parameters
        ----------
        prompts : sequence of tuple of int
            Each with one mask where the label stands, the last mask in it.
        groups : sequence of hashable
            Not used.
        labels : sequence of tuple of int

        Returns
        -------
        list of list of float
            By prompt and label.
        """
        scores = [[0.0] * len(labels) for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        for count in sorted({len(label) for label in labels}):
            columns = [at for at, label in enumerate(labels) if len(label) == count]
            wanted = [labels[at] for at in columns]
            for span in batches([len(prompts[index]) + count for index in order], self._limit):
                indices = order[span.start : span.stop]
                found = self._filled([prompts[index] for index in indices], count, wanted)
                for index, values in zip(indices, found.tolist(), strict=True):
                    for column, value in zip(columns, values, strict=True):
                        scores[index][column] = value
        return scores

    def _filled(self, prompts: Sequence[Tokens], count: int, labels: Sequence[Tokens]) -> Any:
        import torch

        device = self._network.device
        places = [len(prompt) - 1 - prompt[::-1].index(self._mask) for prompt in prompts]
        rows = [
            prompt[:place] + (self._mask,) * count + prompt[place + 1 :]
            for prompt, place in zip(prompts, places, strict=True)
        ]
        tokens, seen = padded(rows, device)
        first = torch.tensor(places, device=device)[:, None]
        positions = first + torch.arange(count, device=device)
        logits = logits_at(self._network, positions, input_ids=tokens, attention_mask=seen)
        return summed(logits, labels)
