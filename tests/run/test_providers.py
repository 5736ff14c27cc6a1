"""A provider of another installed package, used like the ones of this package."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyndbt import tune
from asyndbt.cli._main import main
from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.lm import find_providers

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"
MODULE = (
    DOCS.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    + """

class Unfinished(LanguageModel):
    provider = "unfinished"
"""
)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what installs the package with some entry points."""
    folder = tmp_path / "site-packages"

    def installed(entry_points: str = "length = length_provider:LengthModel") -> None:
        about = folder / "length_provider-1.0.dist-info"
        about.mkdir(parents=True)
        (folder / "length_provider.py").write_text(MODULE)
        (about / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: length-provider\nVersion: 1\n"
        )
        (about / "entry_points.txt").write_text(f"[asyndbt.providers]\n{entry_points}\n")
        monkeypatch.syspath_prepend(str(folder))
        find_providers.cache_clear()

    yield installed
    sys.modules.pop("length_provider", None)
    monkeypatch.undo()
    find_providers.cache_clear()


@pytest.fixture
def file(install: Any, small: Any, tmp_path: Path) -> Path:
    """A configuration that names the provider."""
    install()
    config = small.config(lm={"provider": "length", "tone": "dry"}, method={"iterations": 2})
    written = tmp_path / "run.toml"
    config.dump(written)
    return written


def test_three_members_are_a_provider(file: Path) -> None:
    table = tomllib.loads(file.read_text())["lm"]
    assert (table["provider"], table["size"], table["tone"]) == ("length", 1, "dry")
    result = tune(file)
    assert result.data["model"]["model"] == "length/dry/1"
    assert result.data["ledger"]["calls"] == result.data["ledger"]["tokens_out"] > 0
    assert result.predict([{"text_a": "fine"}], "meals")[0]["prediction"] in (
        "positive",
        "negative",
    )


def test_commands_know_the_provider(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "length/dry/1"
    assert main(["estimate", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["least"]["usage"]["calls"] > 0


@pytest.mark.parametrize(
    ("lm", "text"),
    [
        ({}, 'lm.tone is missing: provider "length" needs it'),
        ({"tone": "dry", "size": "2"}, 'lm.size = "2": use a whole number, without quotes'),
        ({"tone": "dry", "sise": 2}, "lm.sise is not a known key: did you mean lm.size?"),
        ({"tone": "dry", "base_url": "http://x"}, 'lm.base_url has no effect with provider "leng'),
        ({"tone": "dry", "feedback": "text"}, 'lm.feedback is one of "logprobs" with provider "le'),
    ],
)
def test_options_are_validated(install: Any, small: Any, lm: dict[str, Any], text: str) -> None:
    install()
    with pytest.raises(ConfigError) as caught:
        small.config(lm={"provider": "length", **lm})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("entry_point", "text"),
    [
        (
            "gone = no_such_module:Model",
            r"'gone' of asyndbt.providers .*cannot be loaded: ModuleNot",
        ),
        ("length = length_provider:Missing", r"'length' .*cannot be loaded: AttributeError"),
        (
            "length = length_provider:LengthOptions",
            r"'length' .*is not a subclass of LanguageModel",
        ),
        ("unfinished = length_provider:Unfinished", r"'unfinished' .*lacks max_usage, name, score"),
        (
            "other = length_provider:LengthModel",
            r"'other' .*provider = 'length': give both the same",
        ),
        ("pocket = length_provider:LengthModel", "'pocket' .*provider = 'length'"),
    ],
)
def test_a_broken_entry_point_is_reported_by_name(
    install: Any, entry_point: str, text: str
) -> None:
    install(entry_point)
    with pytest.raises(ConfigError, match=f"entry point {text}"):
        Config.from_dict({"task": {"template": "sst2"}, "data": {"train": "t.jsonl"}})
