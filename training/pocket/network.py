"""The pocket decoder in torch, for training only (inference: `asyndbt.pocket._transformer`).

A block with input x and token embedding e:

    y = rms(x) * n1 + g * e            plus a causal convolution over the three tokens before
    x = x + g1 * rms(attention(y))     half of the rotary pairs carry no position
    x = x + g2 * rms(mlp(rms(x) * n2)) squared ReLU

Both branches are normalised before they are added ("sandwich norms"): without that the residual
stream grows a hundredfold, the identity of a label word drowns in it and cannot be copied.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PocketNetwork", "Shape", "Trace"]

ROTARY_BASE = 500.0
CONVOLUTION_TAPS = 3


@dataclass(frozen=True)
class Shape:
    """Sizes of the network: tokens, width, blocks, heads, MLP ratio, longest prompt in tokens."""

    vocabulary: int
    width: int = 96
    layers: int = 4
    heads: int = 4
    ratio: int = 2
    context: int = 1024

    def as_dict(self) -> dict[str, int]:
        """Return the sizes by name, in the order of the weights file."""
        return asdict(self)


@dataclass(frozen=True)
class Trace:
    """Inner values that the auxiliary losses look at.

    Attributes
    ----------
    streams : list of Tensor [batch, tokens, width]
        Residual stream after each block.
    queries, keys : list of Tensor [batch, heads, tokens, width / heads]
        Rotated queries and keys of each block.
    """

    streams: list[Tensor]
    queries: list[Tensor]
    keys: list[Tensor]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position code on the last axis."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def rotary_table(head_width: int, context: int) -> tuple[Tensor, Tensor]:
    """Return cos and sin [context, head_width / 2]; half of the pairs carry no position."""
    pairs = head_width // 2
    frequency = ROTARY_BASE ** (-torch.arange(pairs) / pairs)
    frequency[pairs // 2 :] = 0
    angle = torch.outer(torch.arange(context).float(), frequency)
    return angle.cos(), angle.sin()


class Block(nn.Module):
    """One sandwich-norm block (see the head of the module)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm_attention, self.norm_mlp = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, shape.ratio * width, bias=False)
        self.down = nn.Linear(shape.ratio * width, width, bias=False)
        self.convolution = nn.Parameter(torch.zeros(CONVOLUTION_TAPS, width))
        self.embedding_gain = nn.Parameter(torch.full((width,), 0.3))
        self.attention_gain = nn.Parameter(torch.full((width,), 0.3))
        self.mlp_gain = nn.Parameter(torch.full((width,), 0.3))

    def forward(
        self, x: Tensor, embedding: Tensor, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the new residual stream, the rotated queries and the rotated keys."""
        batch, tokens, width = x.shape
        y = self.norm_attention(x) + self.embedding_gain * embedding
        padded = functional.pad(y, (0, 0, CONVOLUTION_TAPS, 0))
        for tap in range(CONVOLUTION_TAPS):
            start = CONVOLUTION_TAPS - 1 - tap
            y = y + padded[:, start : start + tokens] * self.convolution[tap]
        q, k, v = self.qkv(y).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        a = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        a = self.out(a.transpose(1, 2).reshape(batch, tokens, width))
        x = x + self.attention_gain * functional.rms_norm(a, (width,))
        u = self.down(functional.relu(self.up(self.norm_mlp(x))).square())
        return x + self.mlp_gain * functional.rms_norm(u, (width,)), q, k


class PocketNetwork(nn.Module):
    """Decoder with tied embedding: `hidden` gives final states, `logits` scores of all tokens."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        cos, sin = rotary_table(shape.width // shape.heads, shape.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, ids: Tensor) -> tuple[Tensor, Trace]:
        """Compute final states [batch, tokens, width] and the trace of ids [batch, tokens]."""
        tokens = ids.shape[1]
        x = embedding = functional.rms_norm(self.embedding(ids), (self.shape.width,))
        trace = Trace([], [], [])
        for block in self.blocks:
            x, q, k = block(x, embedding, self.cos[:tokens], self.sin[:tokens])
            trace.streams.append(x)
            trace.queries.append(q)
            trace.keys.append(k)
        return self.norm(x), trace

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary [..., vocabulary] of hidden states [..., width]."""
        return hidden @ self.embedding.weight.T

    def start_copier(self, layer: int, head: int, gain: float = 0.5) -> None:
        """Let one head begin as a copier: its value-output map is a scaled projection."""
        width = self.shape.width
        size = width // self.shape.heads
        rows = slice(2 * width + head * size, 2 * width + (head + 1) * size)
        block = self.blocks[layer]
        assert isinstance(block, Block)
        with torch.no_grad():
            value = nn.init.orthogonal_(torch.empty(size, width))
            block.qkv.weight[rows] = value
            block.out.weight[:, head * size : (head + 1) * size] = gain * value.T
