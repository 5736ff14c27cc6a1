"""What ``asyndbt check`` prints of a served model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asyndbt.cli import demo_config, main
from asyndbt.pocket._server import PocketServer

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
