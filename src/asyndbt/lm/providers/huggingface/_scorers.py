"""Scorers of labels for masked models and encoder-decoders, and the choice by kind of model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from asyndbt.errors import ModelError
from asyndbt.lm.providers.huggingface._causal import CausalScorer
from asyndbt.lm.providers.huggingface._loading import LoadedModel
from asyndbt.lm.providers.huggingface._logits import batches, label_scores, logits_at, padded
from asyndbt.lm.providers.huggingface._networks import PROVIDER
from asyndbt.lm.providers.huggingface._tokenization import Tokens


def make_scorer(
    loaded: LoadedModel, batch_tokens: int
) -> CausalScorer | MaskedScorer | Seq2SeqScorer:
    """Return the scorer of a model; raises ModelError for a masked model without a mask token."""
    if loaded.kind == "seq2seq":
        return Seq2SeqScorer(loaded.network, batch_tokens)
    if loaded.kind == "causal":
        return CausalScorer(loaded.network, batch_tokens, loaded.context)
    mask = loaded.tokenizer.mask_token_id
    if mask is None:
        raise ModelError(
            f"the tokeniser of {loaded.label} has no mask token; use another model or lm.kind",
            provider=PROVIDER,
        )
    return MaskedScorer(loaded.network, batch_tokens, mask)


class MaskedScorer:
    """Scores labels with a masked language model.

    A label of k tokens takes the place of k masks after the prompt: its score is the sum of the
    log-probabilities of its tokens, all k predicted in one pass.  With k = 1 this is exact; with
    more, no token of the label is conditioned on another one, and labels of different length are
    scored in different contexts.
    """

    def __init__(self, network: Any, batch_tokens: int, mask: int) -> None:
        self._network = network
        self._limit = batch_tokens
        self._mask = mask

    def describe_sharing(self, longest: int) -> str:
        return "the model reads both ways"

    def score(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        """Return the sum of log p(token | prompt with masks) by prompt and label.

        Every prompt has one mask in the label's place, the last mask in it.
        """
        scores = [[0.0] * len(labels) for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        for count in sorted({len(label) for label in labels}):
            columns = [at for at, label in enumerate(labels) if len(label) == count]
            wanted = [labels[at] for at in columns]
            for span in batches([len(prompts[index]) + count for index in order], self._limit):
                indices = order[span.start : span.stop]
                found = self._score_batch([prompts[index] for index in indices], count, wanted)
                for index, values in zip(indices, found.tolist(), strict=True):
                    for column, value in zip(columns, values, strict=True):
                        scores[index][column] = value
        return scores

    def _score_batch(self, prompts: Sequence[Tokens], count: int, labels: Sequence[Tokens]) -> Any:
        import torch

        device = self._network.device
        places = [len(prompt) - 1 - prompt[::-1].index(self._mask) for prompt in prompts]
        rows = [
            prompt[:place] + (self._mask,) * count + prompt[place + 1 :]
            for prompt, place in zip(prompts, places, strict=True)
        ]
        tokens, mask = padded(rows, device)
        first = torch.tensor(places, device=device)[:, None]
        positions = first + torch.arange(count, device=device)
        logits = logits_at(self._network, positions, input_ids=tokens, attention_mask=mask)
        return label_scores(logits, labels)


class Seq2SeqScorer:
    """Scores labels with an encoder-decoder; every prompt is encoded once.

    A label's score is the log-probability of the whole target, its end-of-sequence token included:
    a target that goes on after the label is another answer.
    """

    def __init__(self, network: Any, batch_tokens: int) -> None:
        self._network = network
        self._limit = batch_tokens

    def describe_sharing(self, longest: int) -> str:
        return "the encoder reads both ways"

    def score(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        """Return log p(label, end of sequence | prompt) by prompt and label."""
        scores: list[list[float]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        longest = max(map(len, labels))
        costs = [len(prompts[index]) + longest * len(labels) for index in order]
        for span in batches(costs, self._limit):
            indices = order[span.start : span.stop]
            found = self._score_batch([prompts[index] for index in indices], labels)
            for index, values in zip(indices, found.tolist(), strict=True):
                scores[index] = values
        return scores

    def _score_batch(self, prompts: Sequence[Tokens], labels: Sequence[Tokens]) -> Any:
        import torch

        network, count = self._network, len(labels)
        tokens, mask = padded(prompts, network.device)
        encoded = network.get_encoder()(input_ids=tokens, attention_mask=mask)
        encoded.last_hidden_state = encoded.last_hidden_state.repeat_interleave(count, 0)
        targets, _ = padded(labels, network.device)
        # The model itself makes the decoder's inputs out of targets; the loss is not used.
        logits = network(
            encoder_outputs=encoded,
            attention_mask=mask.repeat_interleave(count, 0),
            labels=targets.repeat(len(prompts), 1),
            use_cache=False,
        ).logits.float()
        logits = logits.unflatten(0, (len(prompts), count))
        columns = [label_scores(logits[:, at], [label])[:, 0] for at, label in enumerate(labels)]
        return torch.stack(columns, dim=1)
