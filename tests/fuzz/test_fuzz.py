"""Bytes that are nearly right bring out errors of this package and no others.

The same without end, guided by coverage: `benchmarks/fuzz.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import Targets, seeds

SEEDS = seeds()
PARTS = [
    b"",
    b"\0",
    b"\xff",
    b'"',
    b"{",
    b"[",
    b"]",
    b"\n",
    b"1e999",
    b"-1",
    b"null",
    b"nan",
    b"\xed\xa0\x80",
]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    made = Targets(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


@st.composite
def changed(draw: Any, whole: list[bytes]) -> bytes:
    """A whole input with some of its parts replaced, or anything."""
    data = draw(st.sampled_from(whole))
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, len(data))), draw(st.integers(0, 12))
        part = draw(st.sampled_from(PARTS) | st.binary(max_size=8))
        data = data[:start] + part + data[start + length :]
    return data


@pytest.mark.parametrize("name", SEEDS)
def test_only_errors_of_this_package_come_out(targets: Targets, name: str) -> None:
    @settings(max_examples=300, derandomize=True, database=None)
    @given(changed(SEEDS[name]) | st.binary(max_size=60))
    def feed(data: bytes) -> None:
        targets.feed(name, data)

    for data in SEEDS[name]:
        targets.feed(name, data)
    feed()


@pytest.mark.parametrize("name", SEEDS)
def test_whole_inputs_are_taken(targets: Targets, name: str) -> None:
    """What is changed is right to begin with."""
    targets.all[name](SEEDS[name][0])
