"""Labels scored by an encoder-decoder: the encoder reads the prompt, the decoder writes the label.

A label's score is the log-probability of the whole answer, its end mark included: an answer that
goes on after the label is another answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from asyndbt.lm.providers.huggingface._batching import batches, padded
from asyndbt.lm.providers.huggingface._logits import summed
from asyndbt.lm.providers.huggingface._tokens import Tokens

__all__ = ["Seq2SeqScorer"]


class Seq2SeqScorer:
    """Scores labels, every prompt encoded once.

    Parameters
    ----------
    network
        An encoder-decoder of the `transformers` library.
    batch_tokens : int
        Tokens read at once.
    """

    obstacle = "the encoder reads both ways"

    def __init__(self, network: Any, batch_tokens: int) -> None:
        self._network = network
        self._limit = batch_tokens

    def score(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        """Natural log of p(label, end | prompt).

        Parameters
        ----------
        prompts : sequence of tuple of int
        groups : sequence of hashable
            Not used.
        labels : sequence of tuple of int
            As the tokeniser writes targets.

        Returns
        -------
        list of list of float
            By prompt and label.
        """
        scores: list[list[float]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        longest = max(map(len, labels))
        costs = [len(prompts[index]) + longest * len(labels) for index in order]
        for span in batches(costs, self._limit):
            indices = order[span.start : span.stop]
            found = self._written([prompts[index] for index in indices], labels)
            for index, values in zip(indices, found.tolist(), strict=True):
                scores[index] = values
        return scores

    def _written(self, prompts: Sequence[Tokens], labels: Sequence[Tokens]) -> Any:
        import torch

        network, count = self._network, len(labels)
        tokens, seen = padded(prompts, network.device)
        states = network.get_encoder()(input_ids=tokens, attention_mask=seen).last_hidden_state
        targets, _ = padded(labels, network.device)
        answers = network.prepare_decoder_input_ids_from_labels(labels=targets)
        logits = network(
            encoder_outputs=(states.repeat_interleave(count, 0),),
            attention_mask=seen.repeat_interleave(count, 0),
            decoder_input_ids=answers.repeat(len(prompts), 1),
            use_cache=False,
        ).logits.float()
        logits = logits.unflatten(0, (len(prompts), count))
        columns = [summed(logits[:, at], [label])[:, 0] for at, label in enumerate(labels)]
        return torch.stack(columns, dim=1)
