"""Output never ends a command: whatever the encoding of a stream, its state, or the text."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asyndbt.run
from asyndbt.cli import main
from asyndbt.run import Event

HARD = "Köln, 北京, 😀"
ENCODINGS = ("cp1252", "ascii", "cp437", "cp932", "utf-8", "utf-16")
Patch = pytest.MonkeyPatch


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, *argv: str) -> str:
    """Return what a command that succeeds writes to a standard output of this encoding."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(argv) == 0
    return raw.getvalue().decode(encoding)


@pytest.fixture
def hard(facade: Any, play: Any) -> Event:
    """An event with names and words that few encodings have."""
    told = Event("warning", {"text": f"{HARD} \ud800"}, 1.0)
    facade.events = [told, play.step(1, (HARD,)), Event("gone", {"site": HARD}, 2.0)]
    return told


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("flags", [[], ["--quiet"], ["--json"]])
@pytest.mark.usefixtures("hard")
def test_a_run_is_shown_in_any_encoding(
    config_file: Path, monkeypatch: Patch, encoding: str, flags: list[str]
) -> None:
    assert "first-seed0" in printed(monkeypatch, encoding, "run", str(config_file), *flags)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_has_every_character_in_any_encoding(
    config_file: Path, monkeypatch: Patch, encoding: str, hard: Event
) -> None:
    text = printed(monkeypatch, encoding, "run", str(config_file), "--json")
    lines = [json.loads(line) for line in text.splitlines()]
    assert hard.data["text"] in [line.get("text") for line in lines]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("output", [None, f"{HARD}.jsonl"])
def test_predictions_have_every_character_in_any_encoding(
    monkeypatch: Patch, encoding: str, output: str | None
) -> None:
    row = {"text_a": HARD, "note": "half \ud800"}
    Path("new.jsonl").write_text(json.dumps(row))
    argv = ["predict", "runs/x", "--input", "new.jsonl", *(["--output", output] if output else [])]
    text = printed(monkeypatch, encoding, *argv)
    if output:
        assert text.startswith("1 prediction: K")
        text = Path(output).read_text("utf-8")
    (found,) = (json.loads(line) for line in text.splitlines())
    assert {name: found[name] for name in row} == row


def test_a_closed_output_is_no_matter(config_file: Path, monkeypatch: Patch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["run", str(config_file)]) == 0
    assert main(["run", "no.toml"]) == 1
    sys.stdout.close()
    sys.stderr.close()


COMMAND = """
import sys
import asyndbt.run
from asyndbt.cli import main
from asyndbt.run import Event, Observers

def run_config(config, *, observers):
    config.run.dir.mkdir(parents=True)
    show = Observers(observers)
    for number in range(1000):
        show(Event("warning", {"text": 200 * "x"}, 1.0))
    (config.run.dir / "finished").touch()
    raise OSError(28, "No space left on device")

asyndbt.run.run_config = run_config
sys.exit(main(sys.argv[1:]))
"""


def piped(argv: list[str], stdout: Any) -> tuple[int, str]:
    """Return exit code and errors of a command in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", COMMAND, *argv]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=600)
    return done.returncode, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")
@pytest.mark.parametrize("kind", ["gone", "full"])
def test_work_goes_on_where_nobody_reads(config_file: Path, kind: str) -> None:
    if kind == "gone":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full", os.O_WRONLY)
    code, told = piped(["run", str(config_file)], write)
    os.close(write)
    assert (config_file.parent / "runs" / "first-seed0" / "finished").exists()
    assert (code, told) == (1, "asyndbt: error: system: No space left on device\n")


# ------------------------------------------------------------------ SIGTERM
@pytest.fixture
def terminated(facade: Any, play: Any, monkeypatch: Patch) -> None:
    """Runs meet a SIGTERM, then go on."""

    def run_config(config: Any, *, observers: Any) -> Any:
        def stop(event: Event) -> None:
            if event.kind == "step":
                signal.raise_signal(signal.SIGTERM)

        return facade.run_config(config, observers=[*observers, stop])

    monkeypatch.setattr(asyndbt.run, "run_config", run_config)


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
@pytest.mark.usefixtures("terminated")
def test_sigterm_says_how_to_go_on_and_ends_with_143(
    config_file: Path, capsys: pytest.CaptureFixture[str], ctrl_c: Any
) -> None:
    """Ctrl-C is ignored where a shell has started the command in the background."""
    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        assert main(["run", str(config_file)]) == 143
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == (
        f"asyndbt: stopped: go on with: asyndbt resume {config_file.parent}/runs/first-seed0\n"
    )
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("terminated")
def test_a_sigterm_that_someone_else_takes_is_left_to_them(config_file: Path) -> None:
    taken: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
    try:
        assert main(["run", str(config_file)]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert taken
