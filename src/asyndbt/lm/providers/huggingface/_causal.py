"""Labels scored by a model that reads from left to right.

The exact log-probability of a label is the sum over its tokens, each given the prompt and the
tokens before it.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyndbt.lm.providers.huggingface._batching import batches, padded
from asyndbt.lm.providers.huggingface._logits import logits_at, summed
from asyndbt.lm.providers.huggingface._prefixes import PrefixStore, common, joined
from asyndbt.lm.providers.huggingface._stems import members_of, stems_of
from asyndbt.lm.providers.huggingface._tokens import Tokens

__all__ = ["CausalScorer"]

_WORTH: Final = 16
"""Shared tokens below which prompts are read whole."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt in two parts; `shared` tells whether others have the same prefix."""

    index: int
    prefix: Tokens
    rest: Tokens
    shared: bool


class CausalScorer:
    """Scores labels, reading what prompts share once where the model allows it.

    Parameters
    ----------
    network
        A causal model of the `transformers` library.
    batch_tokens : int
        Tokens read at once; a quarter as many of shared beginnings are kept.

    Attributes
    ----------
    obstacle : str or None
        Why shared beginnings are read again for every prompt; None if they are not.
    """

    def __init__(self, network: Any, batch_tokens: int) -> None:
        self._network = network
        self._limit = batch_tokens
        self._prefixes = PrefixStore(network, batch_tokens // 4)
        self.obstacle = _obstacle(network) or self._trial()

    def score(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        """Natural log of p(label | prompt).

        Parameters
        ----------
        prompts : sequence of tuple of int
        groups : sequence of hashable
            Equal for prompts that begin with the same demonstrations.
        labels : sequence of tuple of int

        Returns
        -------
        list of list of float
            By prompt and label.
        """
        stems = stems_of(labels)
        if self.obstacle:
            rows = [_Row(index, (), tokens, False) for index, tokens in enumerate(prompts)]
        else:
            rows = self._split(prompts, groups, len(stems))
        scores: list[list[float]] = [[] for _ in prompts]
        for shared in (True, False):
            apart = [row for row in rows if row.prefix and row.shared == shared]
            self._score_rests(apart, labels, stems, shared, scores)
        self._score_whole([row for row in rows if not row.prefix], labels, stems, scores)
        return scores

    def _split(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], stems: int
    ) -> list[_Row]:
        """Cut every prompt where it stops being like others of its group, or like a kept one.

        With several stems even what only one prompt has is worth being read once.
        """
        members: dict[Hashable, list[int]] = {}
        for index, group in enumerate(groups):
            members.setdefault(group, []).append(index)
        rows = []
        for indices in members.values():
            shortest = min(len(prompts[index]) for index in indices)
            beginning = common([prompts[index] for index in indices])[: shortest - 1]
            known = self._prefixes.longest(beginning)
            alone = len(indices) == 1
            if alone or (len(beginning) - len(known)) * len(indices) < len(beginning):
                beginning = known
            shared = len(beginning) >= _WORTH
            for index in indices:
                whole = prompts[index]
                cut = len(beginning) if shared else (len(whole) - 1 if stems > 1 else 0)
                rows.append(_Row(index, whole[:cut], whole[cut:], shared))
        return rows

    def _score_rests(
        self,
        rows: Sequence[_Row],
        labels: Sequence[Tokens],
        stems: Sequence[Tokens],
        shared: bool,
        scores: list[list[float]],
    ) -> None:
        """Score prompts whose prefix is computed apart."""
        distinct = sorted({row.prefix for row in rows}, key=lambda prefix: (len(prefix), prefix))
        rows = sorted(rows, key=lambda row: len(row.rest))
        longest = max(map(len, stems))
        for some in batches([len(prefix) for prefix in distinct], self._limit):
            wanted = distinct[some.start : some.stop]
            place = {prefix: index for index, prefix in enumerate(wanted)}
            prefixes = self._prefixes.fetch(wanted, keep=shared)
            chosen = [row for row in rows if row.prefix in place]
            widths = [len(row.rest) + longest for row in chosen]
            costs = [(len(wanted[-1]) + width) * len(stems) for width in widths]
            for span in batches(costs, self._limit, widths):
                batch = chosen[span.start : span.stop]
                cache = joined(prefixes, [place[row.prefix] for row in batch])
                found = self._after(cache, batch, labels, stems)
                for row, values in zip(batch, found.tolist(), strict=True):
                    scores[row.index] = values

    def _after(
        self, cache: Any, batch: Sequence[_Row], labels: Sequence[Tokens], stems: Sequence[Tokens]
    ) -> Any:
        """Scores of shape (rows, labels) of rests that follow what the cache holds."""
        import torch

        device = self._network.device
        once = stems[0] if len(stems) == 1 else ()
        before = torch.tensor([len(row.prefix) for row in batch], device=device)
        held = torch.arange(int(before.max()), device=device) < before[:, None]
        tokens, mask = padded([row.rest + once for row in batch], device, left=True)
        seen = torch.cat([held.to(mask.dtype), mask], dim=1)
        places = (before[:, None] + mask.cumsum(1) - 1).clamp(min=0)
        last = torch.arange(tokens.shape[1], device=device)[-1 - len(once) :]
        inputs = {"input_ids": tokens, "attention_mask": seen, "position_ids": places}
        logits = self._read(cache, last.expand(len(batch), -1), inputs)
        if len(stems) == 1:
            return summed(logits, labels)
        scores = summed(logits, [label[:1] for label in labels])
        cache.batch_repeat_interleave(len(stems))
        return scores + self._further(cache, seen, places[:, -1] + 1, labels, stems)

    def _further(
        self, cache: Any, seen: Any, start: Any, labels: Sequence[Tokens], stems: Sequence[Tokens]
    ) -> Any:
        """Scores of shape (rows, labels) of the labels' tokens after the first."""
        import torch

        rows, count = len(seen), len(stems)
        tokens, mask = padded(stems, seen.device)
        ahead = torch.arange(tokens.shape[1], device=seen.device)
        seen = torch.cat([seen.repeat_interleave(count, 0), mask.repeat(rows, 1)], dim=1)
        places = start.repeat_interleave(count)[:, None] + ahead
        inputs = {
            "input_ids": tokens.repeat(rows, 1),
            "attention_mask": seen,
            "position_ids": places,
        }
        logits = self._read(cache, ahead.expand(rows * count, -1), inputs)
        logits = logits.unflatten(0, (rows, count))
        scores = logits.new_zeros(rows, len(labels))
        for number, members in enumerate(members_of(labels, stems)):
            longer = [index for index in members if len(labels[index]) > 1]
            if longer:
                rests = [labels[index][1:] for index in longer]
                scores[:, longer] = summed(logits[:, number], rests)
        return scores

    def _read(self, cache: Any, positions: Any, inputs: dict[str, Any]) -> Any:
        return logits_at(self._network, positions, past_key_values=cache, use_cache=True, **inputs)

    def _score_whole(
        self,
        rows: Sequence[_Row],
        labels: Sequence[Tokens],
        stems: Sequence[Tokens],
        scores: list[list[float]],
    ) -> None:
        """Score prompts by reading each with every stem from the beginning."""
        import torch

        device = self._network.device
        rows = sorted(rows, key=lambda row: len(row.rest))
        longest = max(map(len, stems))
        members = members_of(labels, stems)
        for span in batches([(len(row.rest) + longest) * len(stems) for row in rows], self._limit):
            batch = rows[span.start : span.stop]
            found = torch.zeros(len(batch), len(labels), device=device)
            tokens, mask = padded([row.rest + stem for row in batch for stem in stems], device)
            first = torch.tensor([len(row.rest) - 1 for row in batch for _ in stems], device=device)
            ahead = torch.arange(longest + 1, device=device)
            positions = (first[:, None] + ahead).clamp(max=tokens.shape[1] - 1)
            logits = logits_at(
                self._network, positions, input_ids=tokens, attention_mask=mask, use_cache=False
            )
            logits = logits.unflatten(0, (len(batch), len(stems)))
            for number, indices in enumerate(members):
                found[:, indices] = summed(logits[:, number], [labels[index] for index in indices])
            for row, values in zip(batch, found.tolist(), strict=True):
                scores[row.index] = values

    def _trial(self) -> str | None:
        """Compare both ways on made-up tokens: what a model's structure does not tell."""
        import torch

        size = self._network.config.get_text_config(decoder=True).vocab_size
        made = [tuple((7 * at + 3 * row + 5) % size for at in range(24)) for row in range(3)]
        prompts = [made[0] + made[2][:3], made[0] + made[1][:7], made[1][:20] + made[2][:4]]
        rows = [
            _Row(index, tokens[:cut], tokens[cut:], True)
            for index, (tokens, cut) in enumerate(zip(prompts, (24, 24, 20), strict=True))
        ]
        labels = [made[0][:1], made[1][:2], made[2][:3]]
        stems = stems_of(labels)
        split: list[list[float]] = [[] for _ in rows]
        whole: list[list[float]] = [[] for _ in rows]
        try:
            with torch.inference_mode():
                self._score_rests(rows, labels, stems, False, split)
                self._score_whole(
                    [_Row(index, (), tokens, False) for index, tokens in enumerate(prompts)],
                    labels,
                    stems,
                    whole,
                )
        except Exception as error:  # whatever a model does not support shows here
            return f"it failed in a trial: {type(error).__name__}"
        apart = (torch.tensor(split) - torch.tensor(whole)).abs().max().item()
        allowed = 1e-3 if self._network.dtype == torch.float32 else 0.3
        return None if apart <= allowed else f"it changed answers by {apart:.2g} in a trial"


def _obstacle(network: Any) -> str | None:
    """Why a model's structure forbids reuse of what it remembers; None if it does not."""
    from transformers import DynamicCache, DynamicLayer

    accepted = inspect.signature(network.forward).parameters
    if not {"past_key_values", "position_ids", "attention_mask"} <= set(accepted):
        return "the model takes no positions"
    layers = DynamicCache(config=network.config).layers
    if not all(type(layer) is DynamicLayer for layer in layers):
        return "the model forgets: sliding window or recurrent layers"
    kinds = str([getattr(module, "rope_type", "") for module in network.modules()])
    if "dynamic" in kinds or "longrope" in kinds:
        return "the model's positions depend on the length of the batch"
    return None
