"""Batches of token sequences, logits at chosen positions, and log-probabilities from them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from asyndbt.lm.providers.huggingface._tokenization import Tokens

_log = logging.getLogger(__name__)

_MIN_FILL: Final = 1 / 16
"""Share of the limit below which a batch is not closed because of padding."""

_MAX_WIDENING: Final = 1.25
"""Ratio of the widest to the narrowest row of a batch above which padding costs too much."""


def batches(
    costs: Sequence[int], limit: int, widths: Sequence[int] | None = None
) -> Iterator[range]:
    """Cut rows into batches: rows times the costliest row stays within the limit, or one row.

    A row costs the tokens that it holds in memory; `widths`, ascending, are those that are
    computed, by default the costs.  A batch that is large enough also ends where rows become a
    quarter wider than its first one: the padding would cost more than another pass.

    Examples
    --------
    >>> list(batches([5, 5, 5, 9], 15))
    [range(0, 3), range(3, 4)]
    """
    widths = costs if widths is None else widths
    start, highest = 0, 0
    for index, (cost, width) in enumerate(zip(costs, widths, strict=True)):
        count = index - start
        full = (count + 1) * max(highest, cost) > limit
        large = count * width >= limit * _MIN_FILL
        if count and (full or (large and width > _MAX_WIDENING * widths[start])):
            yield range(start, index)
            start, highest = index, 0
        highest = max(highest, cost)
    if costs:
        yield range(start, len(costs))


def padded(rows: Sequence[Sequence[int]], device: Any, *, left: bool = False) -> tuple[Any, Any]:
    """Return rows of token ids as one tensor, padded with token 0, and its attention mask.

    Both are integers of shape (rows, longest); the mask is 1 at tokens and 0 at padding.
    """
    import torch

    width = max(map(len, rows))
    gaps = [[0] * (width - len(row)) for row in rows]
    ones = [[1] * len(row) for row in rows]
    if left:
        tokens = [[*gap, *row] for gap, row in zip(gaps, rows, strict=True)]
        mask = [[*gap, *one] for gap, one in zip(gaps, ones, strict=True)]
    else:
        tokens = [[*row, *gap] for gap, row in zip(gaps, rows, strict=True)]
        mask = [[*one, *gap] for gap, one in zip(gaps, ones, strict=True)]
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def logits_at(network: Any, positions: Any, **inputs: Any) -> Any:
    """Return a model's logits, float32 of shape (rows, n, vocabulary), at positions (rows, n).

    The output layer of a language model is as wide as the vocabulary, so the hidden states are cut
    to these positions before it.  If that cannot be done, the logits are cut instead, and a
    warning is logged once for every architecture.  `inputs` are those of the forward pass.
    """
    body, cut = network.base_model, False

    def cut_states(module: Any, arguments: Any, output: Any) -> Any:
        nonlocal cut
        if hasattr(output, "last_hidden_state"):
            output.last_hidden_state = _gather(output.last_hidden_state, positions)
            cut = True
        return output

    if body is network:
        logits = network(**inputs).logits
    else:
        hook = body.register_forward_hook(cut_states)
        try:
            logits = network(**inputs).logits
        finally:
            hook.remove()
    if not cut:
        _warn_uncut(type(network).__name__)
        logits = _gather(logits, positions)
    return logits.float()


@lru_cache
def _warn_uncut(architecture: str) -> None:
    _log.warning(
        "%s gives no access to its last hidden states: logits are computed at all positions, which "
        "takes more time and memory",
        architecture,
    )


def _gather(states: Any, positions: Any) -> Any:
    """Entries of shape (rows, positions, width) out of (rows, length, width)."""
    return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))


def label_scores(logits: Any, labels: Sequence[Tokens]) -> Any:
    """Return the sum of the log-probabilities of every label's tokens, of shape (rows, labels).

    In logits of shape (rows, positions, vocabulary), position j predicts the j-th token of a label.
    """
    import torch

    total = logits.logsumexp(-1)
    columns = [
        sum(logits[:, place, token] - total[:, place] for place, token in enumerate(label))
        for label in labels
    ]
    return torch.stack(columns, dim=1)
