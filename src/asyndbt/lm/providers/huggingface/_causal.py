"""Labels scored by a causal model, with the prefixes that prompts share computed once.

The log-probability of a label is the sum over its tokens, each given the prompt and the tokens
before it.  Keys and values of a shared prefix can be reused in two ways, the faster one first:

* mixed: a batch holds rows with different prefixes, so there is padding between a prefix and what
  follows it.  The model has to read positions and mask as they are given.
* uniform: all rows of a batch have the same prefix, and nothing is padded in between.  This suits
  models with a sliding window, or with positions of their own.

A model's name does not show what it supports, so either way is tried before it is used: on
random tokens, as long as the prompts, against the plain forward pass.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyndbt.lm.providers.huggingface._logits import batches, label_scores, padded
from asyndbt.lm.providers.huggingface._prefix_cache import Forward, Prefix, PrefixCache, batch_cache
from asyndbt.lm.providers.huggingface._tokenization import (
    Tokens,
    common_prefix,
    forced_inputs,
    labels_by_input,
)

_log = logging.getLogger(__name__)

_MIN_SHARED: Final = 16
"""Tokens that a shared prefix must have to be worth computing apart."""

_TRIAL_STEP: Final = 256
"""Lengths of trials are multiples of this, so that few are needed."""

_SHORT_TRIAL: Final = 32


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt cut in two; `shared` tells whether other prompts have the same prefix."""

    index: int
    prefix: Tokens
    rest: Tokens
    shared: bool


@dataclass(slots=True)
class _Reuse:
    """What trials found about one way to reuse prefixes."""

    mixed: bool
    proven: int = 0
    """Tokens of a prompt with its label up to which it gives the plain answers."""
    failure: str | None = None
    """Why it is not used for longer ones."""

    @property
    def beyond(self) -> str:
        return f" beyond {self.proven} tokens" if self.proven else ""


class CausalScorer:
    """Scores labels after prompts with a causal model of the `transformers` library.

    A quarter of `batch_tokens`, the tokens in one batch, are kept of shared prefixes; `context` is
    the maximum number of tokens that the model reads.
    """

    def __init__(self, network: Any, batch_tokens: int, context: int | None = None) -> None:
        self._network = network
        self._limit = batch_tokens
        self._context = context
        self._passes = _Passes(Forward.find(network), batch_tokens)
        self._mixed, self._uniform = _Reuse(mixed=True), _Reuse(mixed=False)
        if not self._passes.forward.argument:
            self._mixed.failure = self._uniform.failure = "the model fills no cache"
            self._warn()

    def score(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        """Return log p(label | prompt), natural logarithm, by prompt and label.

        `groups` are equal for prompts that begin with the same demonstrations.
        """
        reuse = self._choose(max(map(len, prompts)) + max(map(len, labels)))
        if reuse is None:
            rows = [_Row(index, (), tokens, False) for index, tokens in enumerate(prompts)]
            return self._passes.score(rows, labels, mixed=False)
        single = reuse.mixed and len(forced_inputs(labels)) > 1
        rows = _split(prompts, groups, self._passes.prefixes, single=single)
        return self._passes.score(rows, labels, mixed=reuse.mixed)

    def describe_sharing(self, longest: int) -> str:
        """Return how prefixes are shared, up to `longest` tokens of a prompt with its label."""
        self._choose(max(longest, _SHORT_TRIAL))
        return self._description

    @property
    def _description(self) -> str:
        mixed, uniform = self._mixed, self._uniform
        if mixed.failure is None:
            return "read once"
        if uniform.failure is None:
            return f"read once, but one at a time{mixed.beyond}: {mixed.failure}"
        best = max(mixed, uniform, key=lambda reuse: reuse.proven)
        return f"read again for every prompt{best.beyond}: {uniform.failure}"

    def _choose(self, longest: int) -> _Reuse | None:
        """Return the fastest way that is exact for prompts of this length, or None."""
        longest = longest if self._context is None else min(longest, self._context)
        if longest < _MIN_SHARED:
            return None
        before = self._description
        chosen = None
        for reuse in (self._mixed, self._uniform):
            if longest > reuse.proven and reuse.failure is None:
                self._try(reuse, longest)
            if longest <= reuse.proven:
                chosen = reuse
                break
        if self._description != before:
            self._warn()
        return chosen

    def _warn(self) -> None:
        _log.warning(
            "%s is slower than it could be: beginnings that prompts share are %s",
            type(self._network).__name__,
            self._description,
        )

    def _try(self, reuse: _Reuse, longest: int) -> None:
        """Compare one way with plain passes, at the length that is needed and at shorter ones."""
        import torch

        length = -(-longest // _TRIAL_STEP) * _TRIAL_STEP
        length = length if self._context is None else min(length, self._context)
        # Two rows of a batch can be as long as half of the limit, and so can the padding: a trial
        # of a quarter of it, in one batch, has that much.
        one_batch = min(length, max(_SHORT_TRIAL, self._limit // 4))
        for tokens in sorted({min(_SHORT_TRIAL, length), one_batch, length}):
            limit = self._limit if tokens > one_batch else 64 * tokens
            with torch.inference_mode():
                reuse.failure = self._difference(reuse.mixed, tokens, limit)
            if reuse.failure is not None:
                return
            reuse.proven = max(reuse.proven, tokens)

    def _difference(self, mixed: bool, length: int, limit: int) -> str | None:
        """Say how answers to random prompts of some length differ; None if they do not.

        First two prompts together, of which one is nearly all prefix and the other hardly any; then
        two with the same prefix, half of the longer one.
        """
        import torch

        size = self._network.get_input_embeddings().weight.shape[0]
        drawn = torch.randint(size, (4, length), generator=torch.Generator().manual_seed(length))
        words, first, second, third = (tuple(row) for row in drawn.tolist())
        labels = [words[:1]] if length > _SHORT_TRIAL else [words[:1], words[1:3], words[3:6]]
        end = length - max(map(len, labels))
        allowed = 1e-3 if self._network.dtype == torch.float32 else 0.3
        passes = _Passes(self._passes.forward, limit)
        half = end // 2
        apart = ((first[:end], end - 4), (second[:end], 4))
        alike = ((third[:end], half), (third[: half + 4], half))
        for prompts in (apart, alike):
            whole = [_Row(index, (), row, False) for index, (row, _) in enumerate(prompts)]
            split = [
                _Row(index, row[:cut], row[cut:], False) for index, (row, cut) in enumerate(prompts)
            ]
            expected = torch.tensor(self._passes.score(whole, labels, mixed=False))
            try:
                for row in split:  # not in one pass: it may matter how long a prefix is
                    passes.prefixes.fetch([row.prefix], keep=True)
                found = torch.tensor(passes.score(split, labels, mixed=mixed))
            except Exception as error:  # whatever a model does not support shows here
                return f"it failed in a trial of {length} tokens: {type(error).__name__}"
            change = (found - expected).abs().max().item()
            if not change <= allowed:  # nor is NaN
                return f"it changed log-probabilities by {change:.2g} in a trial of {length} tokens"
        return None


def _split(
    prompts: Sequence[Tokens], groups: Sequence[Hashable], prefixes: PrefixCache, *, single: bool
) -> list[_Row]:
    """Cut every prompt where it stops being like others of its group, or like a kept prefix.

    With `single`, all but the last token of a prompt that shares nothing is a prefix too: it is
    read once for several forced inputs.
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    rows = []
    for indices in members.values():
        shortest = min(len(prompts[index]) for index in indices)
        common = common_prefix([prompts[index] for index in indices])[: shortest - 1]
        known = prefixes.longest_match(common)
        if len(indices) == 1 or (len(common) - len(known)) * len(indices) < len(common):
            common = known
        shared = len(common) >= _MIN_SHARED
        for index in indices:
            whole = prompts[index]
            cut = len(common) if shared else (len(whole) - 1) * single
            rows.append(_Row(index, whole[:cut], whole[cut:], shared))
    return rows


class _Passes:
    """Forward passes over rows, in batches of at most `limit` tokens."""

    def __init__(self, forward: Forward, limit: int) -> None:
        self.forward = forward
        self.prefixes = PrefixCache(forward, limit // 4)
        self._limit = limit

    def score(
        self, rows: Sequence[_Row], labels: Sequence[Tokens], *, mixed: bool
    ) -> list[list[float]]:
        """Return log p(label | row) by index; `mixed` allows different prefixes in a batch."""
        batched = self._with_prefixes([row for row in rows if row.prefix])
        whole = [row for row in rows if not row.prefix]
        scores: list[list[float]] = [[] for _ in rows]
        for some, prefixes in batched:
            if mixed:
                self._score_mixed(some, prefixes, labels, scores)
                continue
            for prefix in prefixes:
                alike = [row for row in some if row.prefix == prefix.tokens]
                self._score_uniform(alike, prefix, labels, scores)
        self._score_uniform(whole, None, labels, scores)
        return scores

    def _with_prefixes(self, rows: Sequence[_Row]) -> Iterator[tuple[list[_Row], list[Prefix]]]:
        """Yield rows in ascending length, with their distinct prefixes, the longest one last."""
        for shared in (True, False):
            some = sorted((row for row in rows if row.shared == shared), key=_rest_length)
            distinct = sorted(
                {row.prefix for row in some}, key=lambda tokens: (len(tokens), tokens)
            )
            for span in batches(list(map(len, distinct)), self._limit):
                prefixes = self.prefixes.fetch(distinct[span.start : span.stop], keep=shared)
                fetched = {prefix.tokens for prefix in prefixes}
                yield [row for row in some if row.prefix in fetched], prefixes

    def _score_mixed(
        self,
        rows: Sequence[_Row],
        prefixes: Sequence[Prefix],
        labels: Sequence[Tokens],
        scores: list[list[float]],
    ) -> None:
        forced = forced_inputs(labels)
        place = {prefix.tokens: index for index, prefix in enumerate(prefixes)}
        widths = [len(row.rest) + len(forced[0]) for row in rows]
        costs = [(len(prefixes[-1].tokens) + width) * len(forced) for width in widths]
        for span in batches(costs, self._limit, widths):
            batch = rows[span.start : span.stop]
            cache = batch_cache(prefixes, [place[row.prefix] for row in batch])
            found = self._after_prefixes(cache, batch, labels, forced)
            for row, values in zip(batch, found.tolist(), strict=True):
                scores[row.index] = values

    def _after_prefixes(
        self, cache: Any, batch: Sequence[_Row], labels: Sequence[Tokens], forced: Sequence[Tokens]
    ) -> Any:
        """Scores of shape (rows, labels); the padding is between a prefix and the rest."""
        import torch

        device = self.forward.network.device
        single = forced[0] if len(forced) == 1 else ()
        lengths = torch.tensor([len(row.prefix) for row in batch], device=device)
        cached = torch.arange(int(lengths.max()), device=device) < lengths[:, None]
        tokens, mask = padded([row.rest + single for row in batch], device, left=True)
        seen = torch.cat([cached.to(mask.dtype), mask], dim=1)
        positions = (lengths[:, None] + mask.cumsum(1) - 1).clamp(min=0)
        last = torch.arange(tokens.shape[1], device=device)[-1 - len(single) :]
        at = last.expand(len(batch), -1)
        logits = self.forward.logits(at, tokens, seen, cache, positions)
        if len(forced) == 1:
            return label_scores(logits, labels)
        scores = label_scores(logits, [label[:1] for label in labels])
        cache.batch_repeat_interleave(len(forced))
        return scores + self._forced_scores(cache, seen, positions[:, -1] + 1, labels, forced)

    def _forced_scores(
        self, cache: Any, seen: Any, start: Any, labels: Sequence[Tokens], forced: Sequence[Tokens]
    ) -> Any:
        """Scores of shape (rows, labels) of the labels' tokens after the first."""
        import torch

        rows, count = len(seen), len(forced)
        tokens, mask = padded(forced, seen.device)
        ahead = torch.arange(tokens.shape[1], device=seen.device)
        seen = torch.cat([seen.repeat_interleave(count, 0), mask.repeat(rows, 1)], dim=1)
        positions = start.repeat_interleave(count)[:, None] + ahead
        at = ahead.expand(rows * count, -1)
        logits = self.forward.logits(at, tokens.repeat(rows, 1), seen, cache, positions)
        logits = logits.unflatten(0, (rows, count))
        scores = logits.new_zeros(rows, len(labels))
        for number, members in enumerate(labels_by_input(labels, forced)):
            longer = [index for index in members if len(labels[index]) > 1]
            if longer:
                rests = [labels[index][1:] for index in longer]
                scores[:, longer] = label_scores(logits[:, number], rests)
        return scores

    def _score_uniform(
        self,
        rows: Sequence[_Row],
        prefix: Prefix | None,
        labels: Sequence[Tokens],
        scores: list[list[float]],
    ) -> None:
        """Score rows with the same prefix, or whole prompts, each read with every forced input."""
        forced = forced_inputs(labels)
        rows = sorted(rows, key=_rest_length)
        before = len(prefix.tokens) if prefix else 0
        widths = [(len(row.rest) + len(forced[0])) * len(forced) for row in rows]
        costs = [before * len(forced) + width for width in widths]
        for span in batches(costs, self._limit, widths):
            batch = rows[span.start : span.stop]
            logits = self._after_prefix(prefix, [row.rest for row in batch], forced)
            found = logits.new_zeros(len(batch), len(labels))
            for number, indices in enumerate(labels_by_input(labels, forced)):
                wanted = [labels[index] for index in indices]
                found[:, indices] = label_scores(logits[:, number], wanted)
            for row, values in zip(batch, found.tolist(), strict=True):
                scores[row.index] = values

    def _after_prefix(
        self, prefix: Prefix | None, rests: Sequence[Tokens], forced: Sequence[Tokens]
    ) -> Any:
        """Logits of shape (rests, forced inputs, 1 + longest of these, vocabulary)."""
        import torch

        device = self.forward.network.device
        tokens, mask = padded([rest + more for rest in rests for more in forced], device)
        last = torch.tensor([len(rest) - 1 for rest in rests for _ in forced], device=device)
        ahead = torch.arange(len(forced[0]) + 1, device=device)
        at = (last[:, None] + ahead).clamp(max=tokens.shape[1] - 1)
        if prefix is None:
            logits = self.forward.logits(at, tokens, mask)
        else:
            before = len(prefix.tokens)
            cache = batch_cache([prefix], [0] * len(tokens))
            seen = torch.cat([mask.new_ones(len(tokens), before), mask], dim=1)
            positions = (before + torch.arange(tokens.shape[1], device=device)).expand_as(tokens)
            logits = self.forward.logits(at, tokens, seen, cache, positions)
        return logits.unflatten(0, (len(rests), len(forced)))


def _rest_length(row: _Row) -> int:
    return len(row.rest)
