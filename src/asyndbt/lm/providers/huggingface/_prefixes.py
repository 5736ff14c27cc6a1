"""What a causal model remembers of a prompt's beginning, computed once for many prompts.

Prompts of one tuning step share their demonstrations and differ in the query.  The keys and values
of the shared beginning do not depend on what follows, so they are computed once, kept while they
are used, and laid before every query of a batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asyndbt.lm.providers.huggingface._batching import padded
from asyndbt.lm.providers.huggingface._tokens import Tokens

__all__ = ["Prefix", "PrefixStore", "common", "joined"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of some tokens at the beginning of a prompt.

    Parameters
    ----------
    tokens : tuple of int
    states : tuple of (torch.Tensor, torch.Tensor)
        Keys and values of every layer, each of shape (1, heads, length, width).
    """

    tokens: Tokens
    states: tuple[tuple[Any, Any], ...]

    def head(self, length: int) -> Prefix:
        """Return the first tokens of this one; nothing is copied."""
        states = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self.states)
        return Prefix(self.tokens[:length], states)


class PrefixStore:
    """The prefixes used last.

    Parameters
    ----------
    network
        A causal model of the `transformers` library.
    kept : int
        Tokens kept for later batches.
    """

    def __init__(self, network: Any, kept: int) -> None:
        self._network = network
        self._kept = kept
        self._store: OrderedDict[Tokens, Prefix] = OrderedDict()

    def longest(self, tokens: Tokens) -> Tokens:
        """Return the longest beginning of `tokens` that a kept prefix begins with."""
        return max((common([tokens, known]) for known in self._store), key=len, default=())

    def fetch(self, wanted: Sequence[Tokens], keep: bool = True) -> list[Prefix]:
        """Return prefixes, computing those that no kept one begins with.

        Parameters
        ----------
        wanted : sequence of tuple of int
            Without repeats; computed in one pass.
        keep : bool
            Whether others may want the new ones as well.
        """
        found = {tokens: self._find(tokens) for tokens in wanted}
        missing = [tokens for tokens, prefix in found.items() if prefix is None]
        for prefix in self._compute(missing) if missing else ():
            found[prefix.tokens] = prefix
            if keep:
                self._store[prefix.tokens] = prefix
        self._forget()
        return [prefix for prefix in found.values() if prefix is not None]

    def _find(self, tokens: Tokens) -> Prefix | None:
        for known in reversed(self._store):
            if known[: len(tokens)] == tokens:
                self._store.move_to_end(known)
                return self._store[known].head(len(tokens))
        return None

    def _forget(self) -> None:
        while self._store and sum(map(len, self._store)) > self._kept:
            self._store.popitem(last=False)

    def _compute(self, rows: Sequence[Tokens]) -> list[Prefix]:
        from transformers import DynamicCache

        network = self._network
        tokens, mask = padded(rows, network.device)
        cache = DynamicCache(config=network.config)
        network.base_model(
            input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True
        )
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


def common(rows: Sequence[Tokens]) -> Tokens:
    """Return the longest common beginning of some rows of tokens.

    Examples
    --------
    >>> common([(1, 2, 3), (1, 2, 4, 5)])
    (1, 2)
    """
    first, last = min(rows), max(rows)
    for place, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:place]
    return first


def joined(prefixes: Sequence[Prefix], picked: Sequence[int]) -> Any:
    """Cache of a batch: one of the prefixes for every row, the shorter ones padded behind.

    A prefix that all rows have is not copied: they are views of it.

    Parameters
    ----------
    prefixes : sequence of Prefix
    picked : sequence of int
        Index of every row's prefix.

    Returns
    -------
    transformers.DynamicCache
    """
    from transformers import DynamicCache, DynamicLayer

    cache = DynamicCache()
    used = sorted(set(picked))
    rows = [used.index(index) for index in picked]
    for states in zip(*(prefixes[index].states for index in used), strict=True):
        layer = DynamicLayer()
        keys, values = (_rows(part, rows) for part in zip(*states, strict=True))
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def _rows(states: Sequence[Any], picked: Sequence[int]) -> Any:
    """Tensors of shape (1, heads, length, width) as one of (rows, heads, longest, width)."""
    if len(states) == 1:
        return states[0].expand(len(picked), -1, -1, -1)
    _, heads, _, width = states[0].shape
    longest = max(state.shape[2] for state in states)
    stacked = states[0].new_zeros(len(states), heads, longest, width)
    for number, state in enumerate(states):
        stacked[number, :, : state.shape[2]] = state[0]
    return stacked[picked]
