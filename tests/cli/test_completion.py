"""The script for a shell is one that the shell takes, and knows the commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import pytest

from asyndbt.cli import main

WORDS = ("predict", "coordinator", "--insecure", "--json")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_has_the_commands_and_the_shell_reads_it(shell: str, capsys: Any) -> None:
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in WORDS)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_bash_completes_commands_and_files(tmp_path: Any, capsys: Any) -> None:
    pytest.importorskip("shtab")
    if not shutil.which("bash"):
        pytest.skip("no bash")
    main(["completion", "bash"])
    (tmp_path / "fall.toml").touch()
    ask = 'COMP_WORDS=(asyndbt {}); COMP_CWORD={}; _shtab_asyndbt "" "{}"; echo "${{COMPREPLY[@]}}"'
    script = capsys.readouterr().out
    said = [
        subprocess.run(
            ["bash", "-c", f"{script}\n{ask.format(*line)}"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        ).stdout.split()
        for line in (("pre", 1, "pre"), ("run fal", 2, "fal"))
    ]
    assert said == [["predict"], ["fall.toml"]]


def test_without_shtab_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "asyndbt[completion]" in capsys.readouterr().err
