"""Lies about data: a site that works honestly on rows with false labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


def flip_labels(
    rows: Iterable[Mapping[str, Any]], sites: Collection[str], labels: Sequence[str]
) -> list[dict[str, Any]]:
    """Give the rows of some sites the next label in place of the right one.

    A site knows nothing but its own rows, and sends what honest work on false ones makes of them:
    policy, proposal and vote. Give it such training and validation rows; its test rows are for whom
    you compare with. Source: Tolpegin et al., ESORICS 2020.

    Parameters
    ----------
    rows : iterable of mapping
        With the columns ``site`` and ``label``.
    sites : collection of str
        Sites whose rows are changed.
    labels : sequence of str
        All labels; the last is followed by the first.

    Returns
    -------
    list of dict

    Examples
    --------
    >>> rows = [{"site": "a", "label": "no"}, {"site": "b", "label": "no"}]
    >>> flip_labels(rows, ["a"], ["yes", "no"])
    [{'site': 'a', 'label': 'yes'}, {'site': 'b', 'label': 'no'}]
    """
    following = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    return [
        {**row, "label": following[row["label"]]} if row["site"] in sites else dict(row)
        for row in rows
    ]
