"""Lies about data: a site that works honestly on examples with false labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asyndbt.robustness._liar import Liar
from asyndbt.task import Example, SiteData


class LabelFlip(Liar):
    """Has false labels in its pool, training and validation examples, and is honest about them.

    Knows nothing but its own examples, and sends what honest work on false ones makes of them:
    policy, proposal and vote. Source: Tolpegin et al., ESORICS 2020.
    """

    name = "label-flip"
    flips_labels = True


def flip_labels(site: SiteData, labels: Sequence[str]) -> SiteData:
    """Give the examples that a site tunes by the next label in place of the right one.

    Parameters
    ----------
    site : SiteData
        Its test examples stay as they are.
    labels : sequence of str
        All labels; the last is followed by the first.

    Examples
    --------
    >>> praise = Example({"text_a": "I am happy"}, "yes")
    >>> flip_labels(SiteData("north", (praise,), (), (), ()), ["yes", "no"]).pool[0].label
    'no'
    """
    following = dict(zip(labels, [*labels[1:], labels[0]], strict=True))

    def flipped(examples: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(replace(example, label=following[example.label]) for example in examples)

    return replace(
        site,
        pool=flipped(site.pool),
        train=flipped(site.train),
        validation=flipped(site.validation),
    )
