"""The forward pass of the pocket model in NumPy, with reusable prefixes.

The network is described at the head of ``training/pocket/network.py``.  All arrays are float32.
A prompt is computed in two parts: a *prefix* alone, exactly as long as it is, and then *suffixes*
of one common padded length that continue it.  The arithmetic of a suffix depends on its own tokens,
its padded length and its prefix, not on how many others are computed with it: sums run along fixed
axes, and every suffix has matrix products of its own.  One product of all rows would be a little
faster, but a BLAS computes a row differently at the edges of a matrix and of a thread's share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
EPSILON: Final = np.float32(np.finfo(np.float32).eps)
PADDING_ROOM: Final = 64
"""Padded suffixes may extend this many positions beyond the context."""
TAPS: Final = 3
ROTARY_BASE: Final = 500.0
NEVER: Final = np.float32(-1e9)


@dataclass(frozen=True)
class Prefix:
    """The state of a prefix that later tokens need.

    Attributes
    ----------
    length : int
        Tokens.
    keys, values : tuple of arrays [heads, length, head width], one per block
    tails : tuple of arrays [TAPS, width], one per block
        Last inputs of the causal convolution.
    """

    length: int
    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    tails: tuple[Array, ...]


@dataclass(frozen=True)
class _Block:
    norm: Array
    embedding_gain: Array
    convolution: Array
    qkv: Array
    out: Array
    attention_gain: Array
    up: Array
    down: Array
    mlp_gain: Array


def _rms(x: Array) -> Array:
    """Root-mean-square normalisation over the last axis."""
    square = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
    normalised: Array = x * (np.float32(1) / np.sqrt(square + EPSILON))
    return normalised


class Transformer:
    """The network with its weights.

    Parameters
    ----------
    arrays : mapping of str to array
        The arrays of the weights file; `shape` holds vocabulary size, width, number of blocks,
        heads, MLP ratio and context length.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        sizes = [int(value) for value in arrays["shape"]]
        self.vocabulary, self.width, layers, self.heads, _, self.context = sizes
        self.head_width = self.width // self.heads
        embedding = arrays["embedding.weight"].astype(np.float32)
        self._embedding = _rms(embedding)
        self._output = np.ascontiguousarray(embedding.T)
        self._norm = arrays["norm.weight"].astype(np.float32)
        self._blocks = [self._block(arrays, f"blocks.{layer}.") for layer in range(layers)]
        self._cos, self._sin = self._rotary_table()

    def _block(self, arrays: Mapping[str, NDArray[Any]], name: str) -> _Block:
        def get(part: str) -> Array:
            return arrays[name + part].astype(np.float32)

        def matrix(part: str) -> Array:
            return np.ascontiguousarray(get(part + ".weight").T)

        qkv = matrix("qkv")
        qkv[:, : self.width] *= np.float32(self.head_width**-0.5)
        qkv[:, : 2 * self.width] = qkv[:, self._positional_first()]
        return _Block(
            norm=get("norm_attention.weight"),
            embedding_gain=get("embedding_gain"),
            convolution=get("convolution"),
            qkv=qkv,
            out=matrix("out"),
            attention_gain=get("attention_gain"),
            up=matrix("up") * get("norm_mlp.weight")[:, None],
            down=matrix("down"),
            mlp_gain=get("mlp_gain"),
        )

    def _positional_first(self) -> NDArray[np.int64]:
        """Order of the query and key columns in which the rotated ones lead each head."""
        pairs = np.arange(self.head_width).reshape(2, 2, -1)
        head = pairs.transpose(1, 0, 2).ravel()
        starts = np.arange(2 * self.heads) * self.head_width
        columns: NDArray[np.int64] = (starts[:, None] + head).ravel()
        return columns

    def _rotary_table(self) -> tuple[Array, Array]:
        """Cosines and sines [positions, head width / 4] of the pairs that carry a position."""
        pairs = self.head_width // 2
        frequency = ROTARY_BASE ** (-np.arange(pairs // 2) / pairs)
        angle = np.outer(np.arange(self.context + PADDING_ROOM), frequency)
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    # -------------------------------------------------------------- the two passes
    def prefix(self, ids: Sequence[int]) -> Prefix:
        """Compute a prefix from token ids [tokens]."""
        tokens = len(ids)
        x = embedding = self._embedding[np.asarray(ids)][None]
        empty, mask = np.zeros((TAPS, self.width), np.float32), self._causal(tokens)
        keys, values, tails = [], [], []
        for layer, block in enumerate(self._blocks):
            y, padded = self._mix(block, x, embedding, empty)
            q, k, v = self._heads(y @ block.qkv, 0)
            keys.append(np.ascontiguousarray(k[:, 0]))
            values.append(np.ascontiguousarray(v[:, 0]))
            tails.append(padded[0, tokens : tokens + TAPS].copy())
            if layer + 1 < len(self._blocks):
                scores = q @ k.transpose(0, 1, 3, 2) + mask
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                a = (weights @ v) / weights.sum(-1, keepdims=True)
                x = self._add_branches(block, x, a)
        return Prefix(tokens, tuple(keys), tuple(values), tuple(tails))

    def last_states(
        self, ids: NDArray[np.int64], lengths: NDArray[np.int64], prefix: Prefix
    ) -> Array:
        """Compute the final hidden state at the last token of each suffix.

        Parameters
        ----------
        ids : array [rows, tokens]
            Suffixes, padded on the right.
        lengths : array [rows]
            Tokens of each suffix, at least one.
        prefix : Prefix
            The common beginning.

        Returns
        -------
        array [rows, width]
        """
        rows, tokens = ids.shape
        x = embedding = self._embedding[ids]
        mask = self._causal(tokens)
        for layer, block in enumerate(self._blocks[:-1]):
            y, _ = self._mix(block, x, embedding, prefix.tails[layer])
            q, k, v = self._heads(y @ block.qkv, prefix.length)
            a = self._attend(q, k, v, mask, prefix.keys[layer], prefix.values[layer])
            x = self._add_branches(block, x, a)
        block, last = self._blocks[-1], (np.arange(rows), lengths - 1)
        y, _ = self._mix(block, x, embedding, prefix.tails[-1])
        q, k, v = self._heads(y @ block.qkv, prefix.length)
        q = q[:, last[0], last[1]][:, :, None]
        visible = np.arange(tokens) < lengths[:, None]
        mask = np.where(visible, np.float32(0), NEVER)[None, :, None]
        a = self._attend(q, k, v, mask, prefix.keys[-1], prefix.values[-1])
        return _rms(self._add_branches(block, x[last][:, None], a)[:, 0]) * self._norm

    def logits(self, states: Array) -> Array:
        """Scores over the vocabulary [rows, vocabulary] of final states [rows, width]."""
        scores: Array = (states[:, None] @ self._output)[:, 0]
        return scores

    # -------------------------------------------------------------- parts of a block
    def _mix(self, block: _Block, x: Array, embedding: Array, tail: Array) -> tuple[Array, Array]:
        """Input of the attention, and the convolution's input with the tail before it."""
        rows, tokens, width = x.shape
        padded = np.empty((rows, TAPS + tokens, width), np.float32)
        padded[:, :TAPS] = tail
        y = padded[:, TAPS:]
        np.multiply(_rms(x), block.norm, out=y)
        y += block.embedding_gain * embedding
        mixed = y.copy()
        for tap in range(TAPS):
            start = TAPS - 1 - tap
            mixed += padded[:, start : start + tokens] * block.convolution[tap]
        return mixed, padded

    def _heads(self, qkv: Array, start: int) -> tuple[Array, Array, Array]:
        """Rotated queries and keys, and values, each [heads, rows, tokens, head width].

        They are views of `qkv`, which is overwritten.
        """
        rows, tokens, _ = qkv.shape
        split = qkv.reshape(rows, tokens, 3, self.heads, self.head_width).transpose(2, 3, 0, 1, 4)
        cos, sin = self._cos[start : start + tokens], self._sin[start : start + tokens]
        quarter = self.head_width // 4
        a, b = split[:2, ..., :quarter], split[:2, ..., quarter : 2 * quarter]
        rotated = a * cos
        rotated -= b * sin
        b *= cos
        b += a * sin
        a[...] = rotated
        return split[0], split[1], split[2]

    @staticmethod
    def _causal(tokens: int) -> Array:
        return np.triu(np.full((tokens, tokens), NEVER), 1)

    def _attend(
        self, q: Array, k: Array, v: Array, mask: Array, prefix_k: Array, prefix_v: Array
    ) -> Array:
        """Attention to the suffix's own tokens (masked) and to all tokens of the prefix."""
        own = q @ k.transpose(0, 1, 3, 2)
        own += mask
        before = q @ prefix_k.transpose(0, 2, 1)[:, None]
        top = np.maximum(own.max(-1, keepdims=True), before.max(-1, keepdims=True))
        own -= top
        before -= top
        np.exp(own, out=own)
        np.exp(before, out=before)
        total = own.sum(-1, keepdims=True) + before.sum(-1, keepdims=True)
        mixed: Array = (own @ v + before @ prefix_v[:, None]) / total
        return mixed

    def _add_branches(self, block: _Block, x: Array, attention: Array) -> Array:
        """Residual stream after the attention [heads, rows, tokens, head width] and the MLP."""
        a = attention.transpose(1, 2, 0, 3).reshape(x.shape)
        x = x + block.attention_gain * _rms(a @ block.out)
        u: Array = _rms(x) @ block.up
        np.maximum(u, 0, out=u)
        u *= u
        return x + block.mlp_gain * _rms(u @ block.down)
