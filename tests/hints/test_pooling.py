"""One vocabulary out of the hints of several sites."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from asyndbt.errors import DataError
from asyndbt.hints import pool_files, pool_hints

NORTH = ["Watch out for irony.", "Read the text twice.", "Mind negations."]
SOUTH = ["Read the whole text twice.", "Look at the last sentence."]
EAST = ["Mind all negations!", "read the text twice"]


def test_what_most_sites_have_comes_first_and_once() -> None:
    pooled = pool_hints([NORTH, SOUTH, EAST])
    assert pooled[0] == "Read the whole text twice."
    assert set(pooled) == {
        "Read the whole text twice.",
        "Mind all negations!",
        "Watch out for irony.",
        "Look at the last sentence.",
    }


def test_the_order_of_sites_is_of_no_consequence() -> None:
    assert len({pool_hints(sites) for sites in permutations([NORTH, SOUTH, EAST])}) == 1


def test_a_site_that_repeats_itself_counts_once() -> None:
    assert pool_hints(
        [["Mind negations.", "Mind the negations."], ["So be it."], ["so be it"]]
    ) == (
        "So be it.",
        "Mind negations.",
    )


def test_files_that_people_have_read(tmp_path: Path) -> None:
    for name, hints in {"a": NORTH, "b": SOUTH, "one": ["Mind negations."]}.items():
        (tmp_path / name).write_text("\n".join([*hints, ""]), encoding="utf-8")
    assert pool_files([tmp_path / "a", tmp_path / "b"]) == pool_hints([NORTH, SOUTH])
    with pytest.raises(DataError, match="one: 1 hint, without those that say nearly the same"):
        pool_files([tmp_path / "one"])
