from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asyndbt.cli import main
from asyndbt.errors import BudgetError, RunDirectoryError

Capture = pytest.CaptureFixture[str]


def test_a_run_ends_with_0_and_its_result(config_file: Path, capsys: Capture) -> None:
    assert main(["run", str(config_file)]) == 0
    out = capsys.readouterr().out
    assert "90.0 % [85.0, 95.0]" in out
    assert "Warning: near-uniform read-out" in out
    assert "6,000" in out
    assert f"asyndbt predict {config_file.parent}/runs/first-seed0 --input FILE --site" in out


def test_dir_takes_the_place_of_the_configured_directory(
    config_file: Path, tmp_path: Path, facade: Any, capsys: Capture
) -> None:
    assert main(["run", str(config_file), "--dir", "elsewhere"]) == 0
    assert facade.configs[0].run.dir == tmp_path / "elsewhere"


def test_a_user_error_is_1_and_one_clear_line(config_file: Path, capsys: Capture) -> None:
    config_file.write_text(config_file.read_text() + "[method]\ndrawz = 3\n")
    assert main(["run", str(config_file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"asyndbt: error: {config_file}: method.drawz is not a known key: "
        "did you mean method.draws?\n"
    )


@pytest.mark.parametrize("error", [BudgetError("too small"), RunDirectoryError("in use")])
def test_errors_on_purpose_have_no_traceback(
    config_file: Path, facade: Any, capsys: Capture, error: Exception
) -> None:
    facade.error = error
    assert main(["run", str(config_file), "--quiet"]) == 1
    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert first == f"asyndbt: error: {error}"
    assert second.startswith("asyndbt: stopped: go on with: asyndbt resume ")
    assert captured.out == ""


def test_several_problems_are_several_lines(config_file: Path, capsys: Capture) -> None:
    config_file.write_text(config_file.read_text() + "[method]\ndraws = 1\nmod = 3\n")
    assert main(["run", str(config_file)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("asyndbt: error: ") for line in lines)


def test_an_error_of_the_system_is_1(config_file: Path, facade: Any, capsys: Capture) -> None:
    facade.error = OSError(28, "No space left on device", "/runs/x")
    assert main(["run", str(config_file), "--quiet"]) == 1
    assert capsys.readouterr().err == "asyndbt: error: /runs/x: No space left on device\n"


def test_a_bug_is_not_hidden(config_file: Path, facade: Any) -> None:
    facade.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        main(["run", str(config_file)])


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["tune"],
        ["run"],
        ["run", "a.toml", "--quiet", "--json"],
        ["demo", "--task", "no-such-task"],
        ["predict", "runs/x", "--text", "--input", "new.csv"],
    ],
)
def test_wrong_usage_is_2(argv: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: asyndbt" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--quiet"], ["--json"]])
def test_ctrl_c_is_130_and_says_how_to_go_on(
    config_file: Path, facade: Any, capsys: Capture, flags: list[str]
) -> None:
    facade.error = KeyboardInterrupt()
    assert main(["run", str(config_file), "--dir", "the run", *flags]) == 130
    err = capsys.readouterr().err
    assert err.endswith("the run'\n")
    assert err.startswith("asyndbt: stopped: go on with: asyndbt resume '")


def test_ctrl_c_while_resuming_names_the_directory(facade: Any, capsys: Capture) -> None:
    facade.error, facade.events = KeyboardInterrupt(), []
    assert main(["resume", "runs/x"]) == 130
    assert "asyndbt resume runs/x" in capsys.readouterr().err


def test_ctrl_c_before_anything_happened(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyndbt.cli._run.load_config", stop)
    assert main(["run", str(config_file)]) == 130
    assert capsys.readouterr().err == "asyndbt: stopped: before anything was recorded\n"


def test_resume_prints_the_result(capsys: Capture) -> None:
    assert main(["resume", "runs/x"]) == 0
    assert "accuracy on test data" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["demo", "init", "run", "resume", "predict"])
def test_every_command_has_help(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: asyndbt {command}" in capsys.readouterr().out


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("asyndbt ")


def test_the_package_is_the_command() -> None:
    argv = [sys.executable, "-m", "asyndbt", "predict"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: asyndbt predict ")
