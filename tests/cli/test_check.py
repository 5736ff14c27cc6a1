"""What ``asyndbt check`` prints of a served model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asyndbt.cli import demo_config, main
from asyndbt.pocket._server import PocketServer
from asyndbt.run import RunDirectory, prepare_run

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_check_prints_identity_abilities_and_cost(
    tmp_path: Path, capsys: Capture, flags: list[str]
) -> None:
    pytest.importorskip("openai")
    file = tmp_path / "a.toml"
    with PocketServer() as server:
        lm: dict[str, Any] = {"provider": "openai", "model": "pocket", "base_url": server.url}
        demo_config("sentiment-consumer", 0).override({"lm": lm}).dump(file)
        assert main(["check", str(file), *flags]) == 0
        asked = server.requests
    out = capsys.readouterr().out
    if flags:
        found = json.loads(out)
        assert found["model"].startswith("openai/127.0.0.1")
        assert (found["probe"]["sent"], found["probe"]["facts"]["logprobs"]) == (asked, 20)
    else:
        assert "openai/127.0.0.1" in out
        assert f"Asked: {asked} requests" in out
        assert "fit" in out


def test_check_warns_of_what_a_run_would_warn_of(tmp_path: Path, capsys: Capture) -> None:
    short = {"budget.per_site.calls": 700, "method.vocabulary": "builtin"}
    config = demo_config("sentiment-consumer", 0).override(short)
    config.dump(tmp_path / "a.toml")
    assert main(["check", str(tmp_path / "a.toml")]) == 0
    out = capsys.readouterr().out
    setup = prepare_run(config, RunDirectory(tmp_path / "run"))
    for site in setup.sites.values():
        site.close()
    assert any("test examples" in text for text in setup.warnings)
    assert len(setup.warnings) > 2
    for text in setup.warnings:
        assert f"Warning: {text}\n" in out


def test_check_refuses_a_budget_with_which_no_run_could_start(
    tmp_path: Path, capsys: Capture
) -> None:
    config = demo_config("sentiment-consumer", 0).override({"budget.per_site.calls": 10})
    config.dump(tmp_path / "a.toml")
    assert main(["check", str(tmp_path / "a.toml")]) == 1
    assert "needs at least" in capsys.readouterr().err
