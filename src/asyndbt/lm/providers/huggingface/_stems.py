"""What has to be read after a prompt to score several labels.

A label's last token is only predicted; the tokens before it are read.  Labels that begin alike
share these: the *stem*.
"""

from __future__ import annotations

from collections.abc import Sequence

from asyndbt.lm.providers.huggingface._tokens import Tokens

__all__ = ["members_of", "stems_of"]


def stems_of(labels: Sequence[Tokens]) -> list[Tokens]:
    """Return what has to be read to score labels: their beginnings that no other one continues.

    Examples
    --------
    >>> stems_of([(4,), (5, 6, 7), (5, 6), (8, 9)])
    [(5, 6), (8,)]
    >>> stems_of([(4,), (5,)])
    [()]
    """
    heads = sorted({label[:-1] for label in labels}, key=lambda head: (-len(head), head))
    stems: list[Tokens] = []
    for head in heads:
        if not any(stem[: len(head)] == head for stem in stems):
            stems.append(head)
    return stems


def members_of(labels: Sequence[Tokens], stems: Sequence[Tokens]) -> list[list[int]]:
    """Indices of the labels that are read with every stem, each label with one."""
    members: list[list[int]] = [[] for _ in stems]
    for index, label in enumerate(labels):
        head = label[:-1]
        members[next(n for n, stem in enumerate(stems) if stem[: len(head)] == head)].append(index)
    return members
