from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from asyndbt.cli import main
from asyndbt.cli._display import JsonLines, LiveDisplay, PlainLines
from asyndbt.run import Event

Capture = pytest.CaptureFixture[str]


def event(kind: str, **data: Any) -> Event:
    return Event(kind, data, 1.0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# ------------------------------------------------------------------ plain lines
@pytest.mark.parametrize("argv", [["run", "first.toml"], ["demo"], ["resume", "runs/x"]])
def test_plain_output_has_no_escape_codes(
    argv: list[str], config_file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "server step 1 " in out
    assert "\x1b" not in out
    assert "\r" not in out


@pytest.mark.parametrize("limit", [30_000, None])
@pytest.mark.parametrize("pace", [0.01, 1.0, 60.0])
def test_a_run_of_any_length_has_few_lines(play: Any, limit: int | None, pace: float) -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainLines(stream, clock)
    for iteration in range(1, 1001):
        clock.now += pace
        display(play.step(iteration, limit=limit))
    lines = stream.getvalue().splitlines()
    assert 1 <= len(lines) <= 45
    assert lines[0].startswith("server step 1 ")


def test_lines_are_seconds_apart(play: Any) -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainLines(stream, clock)
    for iteration in range(1, 101):
        clock.now += 0.1
        display(play.step(iteration, limit=3000))
    assert len(stream.getvalue().splitlines()) <= 10.0 / PlainLines.seconds + 1


def test_a_line_tells_what_matters(play: Any) -> None:
    stream = io.StringIO()
    PlainLines(stream)(play.step(7, gone=["meals"]))
    line = stream.getvalue()
    for part in (
        *(
            "server step 7",
            "loss 0.500",
            "75.0 % (40)",
            "210 of 3,000",
            "gone: meals",
            "1 min 15 s",
        ),
        *("sites 2 (quorum -)", "behind 1 (movies)", "entropy p 3.50 q 2.50"),
    ):
        assert part in line


def test_one_of_a_thing_is_said_in_the_singular(play: Any, tmp_path: Path) -> None:
    stream, start = io.StringIO(), play.start(tmp_path, ["local"])
    sizes = {"positions": 1, "slots": 1, "candidates": 1}
    PlainLines(stream)(Event("start", {**start.data, **sizes}, 0.0))
    assert "1 site (local)" in stream.getvalue()
    assert "1 word of 209, 1 demonstration of 1 candidate," in stream.getvalue()


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (event("phase", phase="confirming"), "confirming ..."),
        (event("phase", phase="done"), ""),
        (event("warning", text="few examples"), "warning: few examples"),
        (event("gone", site="meals"), "gone: site meals"),
        (event("refresh", violation=0.5, planes=3), ""),
    ],
)
def test_other_events(seen: Event, text: str) -> None:
    stream = io.StringIO()
    PlainLines(stream)(seen)
    assert stream.getvalue().strip() == text


@pytest.mark.parametrize("flags", [[], ["--quiet"]])
def test_a_warning_is_printed_once(
    config_file: Path, capsys: Capture, facade: Any, flags: list[str]
) -> None:
    """The run tells some at its start; all are in the result."""
    facade.events.insert(0, event("warning", text="near-uniform read-out"))
    assert main(["run", str(config_file), *flags]) == 0
    assert capsys.readouterr().out.count("near-uniform read-out") == 1


# ------------------------------------------------------------------ JSON lines and quiet
@pytest.mark.parametrize("argv", [["run", "first.toml"], ["demo"], ["resume", "runs/x"]])
def test_json_is_one_object_a_line_and_the_result_is_last(
    argv: list[str], config_file: Path, capsys: Capture
) -> None:
    assert main([*argv, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds.count("result") == 1
    assert kinds[-1] == "result"
    assert "step" in kinds
    assert lines[-1]["fragment"] == ["think", "twice"]


def test_json_has_a_word_for_every_number(play: Any) -> None:
    stream = io.StringIO()
    JsonLines(stream)(play.step(1, entropy_p=float("nan"), loss={"a": float("inf")}))
    line = json.loads(stream.getvalue(), parse_constant=pytest.fail)
    assert line["entropy_p"] is None
    assert line["loss"] == {"a": None}


def test_quiet_prints_nothing_but_the_result(config_file: Path, capsys: Capture) -> None:
    assert main(["run", str(config_file), "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Done: budget, after 3 server steps.")
    assert "step 1" not in captured.out
    assert captured.err == ""


# ------------------------------------------------------------------ live
def shown(events: list[Event], width: int = 110) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, _environ={})
    display = LiveDisplay(console)
    for each in events:
        display(each)
    with console.capture() as capture:
        console.print(display._render())
    return capture.get()


def test_live_shows_every_figure(play: Any, tmp_path: Path) -> None:
    screen = shown([play.start(tmp_path), play.step(4, gone=["meals"]), play.step(5)])
    for part in (
        *("movies", "phones", "meals", "tuning", "pocket", "server step 5", "quorum 2", "0.500"),
        *("75.0 % (40)", "entropy p 3.50", "2.50", "planes 4", "0.250", "150", "3,000", "1 min 15"),
    ):
        assert part in screen


def test_live_shows_a_run_that_has_not_begun_or_has_no_limit(play: Any, tmp_path: Path) -> None:
    assert "preparing" in shown([])
    assert "movies" in shown([play.step(1, limit=None, seconds_left=None)])
    assert "evaluating" in shown(
        [play.start(tmp_path), play.step(1), event("phase", phase="evaluating")]
    )


def test_live_keeps_to_the_screen_with_a_thousand_sites(play: Any, tmp_path: Path) -> None:
    sites = tuple(f"site-{number}" for number in range(1000))
    staleness = dict.fromkeys(sites, 0) | {"site-777": 9}
    events = [play.start(tmp_path, sites), play.step(3, sites, staleness=staleness)]
    screen = shown(events)
    assert len(screen.splitlines()) < 24
    assert "site-777" in screen
    assert "988 more" in screen


def test_live_leaves_the_screen_tidy_after_an_error(play: Any) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, _environ={})

    def stop_in_the_middle() -> None:
        with LiveDisplay(console) as display:
            display(play.step(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
