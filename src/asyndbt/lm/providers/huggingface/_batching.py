"""Rows of unequal length in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

__all__ = ["batches", "padded"]

_ENOUGH: Final = 1 / 16
_WIDER: Final = 1.25


def batches(
    costs: Sequence[int], limit: int, widths: Sequence[int] | None = None
) -> Iterator[range]:
    """Cut rows into runs: rows times the costliest row stays within the limit, or one row.

    A run that has work enough also ends where rows become a quarter wider than its first one:
    the padding would cost more than another pass.

    Parameters
    ----------
    costs : sequence of int
        Tokens that every row holds in memory, in the order of the rows.
    limit : int
        Tokens at once.
    widths : sequence of int, optional
        Tokens of every row that are computed, in ascending order; without them, the costs.

    Yields
    ------
    range
        Indices of the rows of one batch.

    Examples
    --------
    >>> list(batches([5, 5, 5, 9], 15))
    [range(0, 3), range(3, 4)]
    """
    widths = costs if widths is None else widths
    enough = limit * _ENOUGH
    start, highest = 0, 0
    for index, (cost, width) in enumerate(zip(costs, widths, strict=True)):
        count = index - start
        full = (count + 1) * max(highest, cost) > limit
        wider = count * width >= enough and width > _WIDER * widths[start]
        if count and (full or wider):
            yield range(start, index)
            start, highest = index, 0
        highest = max(highest, cost)
    if costs:
        yield range(start, len(costs))


def padded(rows: Sequence[Sequence[int]], device: Any, *, left: bool = False) -> tuple[Any, Any]:
    """Return rows as one tensor, and which of its entries are real.

    Parameters
    ----------
    rows : sequence of sequence of int
        Tokens; the padding is token 0, which the mask hides.
    device : torch.device
    left : bool
        Whether the padding stands before a row.

    Returns
    -------
    tokens, mask : torch.Tensor
        Integers of shape (rows, longest); the mask is 1 where there is a token.
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
