"""Keys and values of prompt prefixes, computed once for many prompts.

Prompts of one tuning step share their demonstrations and differ in the query.  The keys and values
of the shared prefix do not depend on what follows, so they are computed once, kept while they are
in use, and put before every query of a batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from asyndbt.lm.providers.huggingface._logits import logits_at, padded
from asyndbt.lm.providers.huggingface._tokenization import Tokens, common_prefix


@dataclass(frozen=True, slots=True)
class Forward:
    """A causal model's forward pass, with or without a cache of keys and values.

    `argument` names the argument that takes the cache, empty if there is none; `positions` tells
    whether the model takes `position_ids`.
    """

    network: Any
    argument: str
    positions: bool

    @classmethod
    def find(cls, network: Any) -> Self:
        """Find by trial how a model takes a cache.

        A forward pass may swallow arguments that it does not know, so a call counts only if the
        cache that it was given then holds the tokens.
        """
        import torch
        from transformers import DynamicCache

        tokens = torch.ones((1, 4), dtype=torch.long, device=network.device)
        for positions, argument in product((True, False), ("cache", "past_key_values")):
            forward, cache = cls(network, argument, positions), DynamicCache()
            try:
                with torch.inference_mode():
                    forward.logits(tokens[:, -1:], tokens, tokens, cache, tokens.cumsum(1) - 1)
                filled: int = cache.get_seq_length()
            except Exception:  # each model has its own way to refuse an argument
                continue
            if filled == tokens.shape[1]:
                return forward
        return cls(network, "", False)

    def logits(
        self, at: Any, tokens: Any, mask: Any, cache: Any = None, positions: Any = None
    ) -> Any:
        """Return the logits, float32 of shape (rows, n, vocabulary), at some of the tokens.

        Parameters
        ----------
        at : torch.Tensor
            Indices of shape (rows, n) into `tokens`.
        tokens : torch.Tensor
            Integers of shape (rows, length).
        mask : torch.Tensor
            Attention mask of shape (rows, cached + length).
        cache : transformers.DynamicCache, optional
            Keys and values of what precedes the tokens; extended by theirs.
        positions : torch.Tensor, optional
            Of the tokens, (rows, length); only with a cache.
        """
        inputs = {"input_ids": tokens, "attention_mask": mask, "use_cache": cache is not None}
        if cache is not None:
            inputs[self.argument] = cache
            if self.positions:
                inputs["position_ids"] = positions
        return logits_at(self.network, at, **inputs)


@dataclass(frozen=True, slots=True)
class Prefix:
    """First tokens of a prompt; keys and values by layer, of shape (1, heads, length, width)."""

    tokens: Tokens
    states: tuple[tuple[Any, Any], ...]

    def head(self, length: int) -> Prefix:
        states = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self.states)
        return Prefix(self.tokens[:length], states)


class PrefixCache:
    """The most recently used prefixes, of `capacity` tokens together."""

    def __init__(self, forward: Forward, capacity: int) -> None:
        self._forward = forward
        self._capacity = capacity
        self._entries: OrderedDict[Tokens, Prefix] = OrderedDict()

    @property
    def size(self) -> int:
        return sum(map(len, self._entries))

    def longest_match(self, tokens: Tokens) -> Tokens:
        """Return the longest prefix of `tokens` that is kept, perhaps as part of a longer one."""
        matches = (common_prefix([tokens, known]) for known in self._entries)
        return max(matches, key=len, default=())

    def fetch(self, wanted: Sequence[Tokens], *, keep: bool) -> list[Prefix]:
        """Return distinct prefixes; those missing are computed in one pass, and kept on demand."""
        found = {tokens: self._find(tokens) for tokens in wanted}
        missing = [tokens for tokens, prefix in found.items() if prefix is None]
        for prefix in self._compute(missing) if missing else ():
            found[prefix.tokens] = prefix
            if keep:
                self._entries[prefix.tokens] = prefix
        while self.size > self._capacity:
            self._entries.popitem(last=False)
        return [prefix for prefix in found.values() if prefix is not None]

    def _find(self, tokens: Tokens) -> Prefix | None:
        for known in reversed(self._entries):
            if known[: len(tokens)] == tokens:
                self._entries.move_to_end(known)
                return self._entries[known].head(len(tokens))
        return None

    def _compute(self, rows: Sequence[Tokens]) -> list[Prefix]:
        from transformers import DynamicCache

        tokens, mask = padded(rows, self._forward.network.device)
        # Without the configuration every layer keeps all tokens, whatever its window.
        cache: Any = DynamicCache()
        positions = mask.cumsum(1) - 1
        self._forward.logits(positions[:, :1], tokens, mask, cache, positions)
        return [
            Prefix(
                row,
                tuple(
                    (
                        layer.keys[number : number + 1, :, : len(row)].clone(),
                        layer.values[number : number + 1, :, : len(row)].clone(),
                    )
                    for layer in cache.layers
                ),
            )
            for number, row in enumerate(rows)
        ]


def batch_cache(prefixes: Sequence[Prefix], picked: Sequence[int]) -> Any:
    """Return the `DynamicCache` of a batch, a prefix for every row, padded on the right.

    `picked` is the index of every row's prefix.  A prefix that all rows have is not copied: they
    are views of it.
    """
    from transformers import DynamicCache

    cache: Any = DynamicCache()
    used = sorted(set(picked))
    rows = [used.index(index) for index in picked]
    for number, states in enumerate(zip(*(prefixes[index].states for index in used), strict=True)):
        keys, values = (_stacked(part, rows) for part in zip(*states, strict=True))
        cache.update(keys[:, :, :0], values[:, :, :0], number)
        layer = cache.layers[number]
        layer.keys, layer.values = keys, values
    return cache


def _stacked(states: Sequence[Any], picked: Sequence[int]) -> Any:
    """Tensors of shape (1, heads, length, width) as one of (rows, heads, longest, width)."""
    if len(states) == 1:
        return states[0].expand(len(picked), -1, -1, -1)
    _, heads, _, width = states[0].shape
    longest = max(state.shape[2] for state in states)
    stacked = states[0].new_zeros(len(states), heads, longest, width)
    for number, state in enumerate(states):
        stacked[number, :, : state.shape[2]] = state[0]
    return stacked[picked]
