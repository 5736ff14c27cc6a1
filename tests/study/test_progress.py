"""What `asyndbt study` shows while it goes on."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from asyndbt.cli._study import LiveStudy, StudyLines
from asyndbt.study import Cell, CellProgress, CellResult, StudyFile, cells_of


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cells(study: Callable[..., StudyFile]) -> list[Cell]:
    return cells_of(study())


def news(cell: Cell, calls: int, done: int = 0) -> CellProgress:
    return CellProgress(cell, calls, None, done, 12)


def ended(cell: Cell, done: int, error: str = "") -> CellProgress:
    return CellProgress(cell, 0, CellResult(cell, 65.0, 3, error), done, 12)


def test_the_first_lines_come_before_any_cell_ends(cells: list[Cell]) -> None:
    stream = io.StringIO()
    with StudyLines("study small: preparing ...", stream, Clock()) as display:
        assert stream.getvalue() == "study small: preparing ...\n"
        display(news(cells[0], 0))
    assert stream.getvalue().splitlines()[1:] == [f"[0/12] running: {cells[0].title}: 0 calls made"]


def test_a_line_names_every_cell_under_way(cells: list[Cell]) -> None:
    stream, clock = io.StringIO(), Clock()
    display = StudyLines("", stream, clock)
    for cell in cells[:3]:
        display(news(cell, 0, done=2))
    clock.now += 10
    display(news(cells[1], 1234, done=2))
    first, second, third = (cell.title for cell in cells[:3])
    assert stream.getvalue().splitlines()[-1] == (
        f"[2/12] running: {first}: 0 calls made; {second}: 1,234 calls made; {third}: 0 calls made"
    )
    for cell in cells[3:6]:
        display(news(cell, 0, done=2))
    clock.now += 10
    display(ended(cells[0], done=3))
    display(news(cells[1], 2000, done=3))
    clock.now += 10
    display(news(cells[1], 3000, done=3))
    last = stream.getvalue().splitlines()[-1]
    assert first not in last
    assert f"{second}: 3,000 calls made" in last
    assert last.endswith("; and 1 more")


def test_a_cell_that_ends_has_a_line_with_the_time_left(cells: list[Cell]) -> None:
    stream, clock = io.StringIO(), Clock()
    display = StudyLines("", stream, clock)
    clock.now = 60.0
    display(ended(cells[0], done=3))
    clock.now = 120.0
    display(ended(cells[1], done=4, error="no such row\nmore"))
    assert stream.getvalue().splitlines() == [
        f"[3/12] {cells[0].title}: 1 min 05 s, 9 min 00 s left",
        f"[4/12] {cells[1].title}: failed: no such row, 8 min 00 s left",
    ]


@pytest.mark.parametrize("pace", [0.01, 1.0, 60.0])
def test_lines_on_what_is_running_have_a_bounded_rate(cells: list[Cell], pace: float) -> None:
    stream, clock = io.StringIO(), Clock()
    display = StudyLines("", stream, clock)
    for step in range(1000):
        display(news(cells[step % 2], step))
        clock.now += pace
    assert 1 <= len(stream.getvalue().splitlines()) <= 1 + 1000 * pace / StudyLines.seconds


def test_lines_become_rarer_as_a_study_grows_older(cells: list[Cell]) -> None:
    stream, clock = io.StringIO(), Clock()
    display = StudyLines("", stream, clock)
    clock.now = 3600.0
    for step in range(3600):
        display(news(cells[0], step))
        clock.now += 1.0
    assert 30 <= len(stream.getvalue().splitlines()) <= 60


def test_a_terminal_is_redrawn_and_keeps_what_has_ended(cells: list[Cell]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    display = LiveStudy("study small: preparing ...", console, Clock())

    def shown() -> list[str]:
        with console.capture() as capture:
            console.print(display._render())
        return capture.get().splitlines()

    assert shown() == ["study small: preparing ..."]
    with display:
        display(news(cells[0], 0))
        display(news(cells[1], 1500))
        display(ended(cells[0], done=1))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"[1/12] {cells[0].title}: 1 min 05 s, 0 s left" in text
    console.no_color = True
    lines = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in shown()]
    assert lines == ["[1/12] running:", f"  {cells[1].title}: 1,500 calls made"]
