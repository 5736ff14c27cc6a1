"""``asyndbt predict`` between two pipes: lines come out as they go in."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asyndbt.run
from asyndbt.cli import main

Capture = pytest.CaptureFixture[str]
Feed = Callable[..., None]


class Pipe(io.RawIOBase):
    """A standard input that gives one piece a read, and says when the next one is asked for."""

    def __init__(self, pieces: list[bytes], asked: Callable[[], None]) -> None:
        self._pieces, self._asked = pieces, asked

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._asked()
        piece = self._pieces.pop(0) if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    def given(*pieces: bytes, asked: Callable[[], None] = lambda: None) -> None:
        pipe = io.TextIOWrapper(io.BufferedReader(Pipe(list(pieces), asked)))
        monkeypatch.setattr(sys, "stdin", pipe)

    return given


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_that_are_there_are_answered_before_more_are_read(
    feed: Feed, capsys: Capture
) -> None:
    seen: list[int] = []

    def asked() -> None:
        seen.append(len(capsys.readouterr().out.splitlines()))

    feed(b'{"text_a": "a"}\n{"text_a"', b': "b"}\n\n', b'{"text_a": "c"}', asked=asked)
    assert main(["predict", "runs/x"]) == 0
    assert seen == [0, 1, 1, 0]
    assert [row["text_a"] for row in lines(capsys.readouterr().out)] == ["c"]


def test_characters_and_ends_of_lines_of_any_system(feed: Feed, capsys: Capture) -> None:
    rows = [{"text_a": "Köln"}, {"text_a": "北京"}]
    content = "\ufeff" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    data = content.encode()
    feed(*(data[k : k + 1] for k in range(len(data))))
    assert main(["predict", "runs/x"]) == 0
    assert [row["text_a"] for row in lines(capsys.readouterr().out)] == ["Köln", "北京"]


def test_many_lines_are_answered_in_parts(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    sizes: list[int] = []
    answer = asyndbt.run.Result.predict_batches

    def counting(self: Any, batches: Any, site: Any = None) -> Any:
        for batch in answer(self, batches, site):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr(asyndbt.run.Result, "predict_batches", counting)
    feed(b"".join(b'{"text_a": "%d"}\n' % number for number in range(150)))
    assert main(["predict", "runs/x"]) == 0
    assert sizes == [64, 64, 22]
    assert len(capsys.readouterr().out.splitlines()) == 150


@pytest.mark.parametrize(
    ("piece", "text"),
    [
        (b"\nfine\n", "line 2: not JSON at column 1"),
        (b"[1]\n", "line 1: found [1]; every line must be one JSON object"),
        (b'{"text_a": "\xff"}', "line 1: byte 0xff is not UTF-8"),
    ],
)
def test_a_wrong_line_is_named(feed: Feed, capsys: Capture, piece: bytes, text: str) -> None:
    feed(piece)
    assert main(["predict", "runs/x"]) == 1
    assert text in capsys.readouterr().err


def test_lines_of_text_are_the_only_field(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    columns = ["sentence"]
    monkeypatch.setattr(asyndbt.run.Result, "columns", lambda self, site: columns, raising=False)
    feed(b'"so", so\n{fine}\n')
    assert main(["predict", "runs/x", "--text"]) == 0
    found = lines(capsys.readouterr().out)
    assert [row["sentence"] for row in found] == ['"so", so', "{fine}"]
    columns.append("other")
    assert main(["predict", "runs/x", "--text"]) == 1
    assert "a row has the columns 'sentence', 'other'" in capsys.readouterr().err


def test_an_older_output_is_kept_until_there_are_answers(feed: Feed, tmp_path: Path) -> None:
    output = tmp_path / "new.jsonl"
    output.write_text("older\n")
    feed(b"[1]\n")
    assert main(["predict", "runs/x", "--output", str(output)]) == 1
    assert output.read_text() == "older\n"
    feed(b'{"text_a": "so"}\n')
    assert main(["predict", "runs/x", "--output", str(output)]) == 0
    assert [row["text_a"] for row in lines(output.read_text())] == ["so"]


def test_the_input_is_no_output(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    rows = tmp_path / "new.jsonl"
    rows.write_text('{"text_a": "so"}\n')
    with rows.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert main(["predict", "runs/x", "--output", str(rows)]) == 1
    assert "this is the input" in capsys.readouterr().err
    assert rows.read_text() == '{"text_a": "so"}\n'
