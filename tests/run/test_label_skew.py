"""Sites without some of the classes."""

from __future__ import annotations

from typing import Any

import pytest

from asyndbt.baselines import resume_run, run_method
from asyndbt.config import Config
from asyndbt.errors import DataError
from asyndbt.report import build_page
from asyndbt.run import Event, estimate_run, run_config


@pytest.fixture
def skewed(small: Any) -> Any:
    """Makes configurations in which one site has no negative training or validation examples."""

    def config(name: str = "run", **changes: Any) -> Config:
        files = {
            part: small.write(
                f"{part}.jsonl",
                [row for row in small.rows(part) if part == "test" or _kept(row)],
            )
            for part in small.files
        }
        made: Config = small.config(name, **{"data": files, **changes})
        return made

    return config


def _kept(row: dict[str, str]) -> bool:
    return (row["site"], row["label"]) != ("meals", "negative")


@pytest.mark.parametrize("mode", ["both", "fragment", "demonstrations"])
def test_a_site_without_a_class_takes_part(small: Any, skewed: Any, mode: str) -> None:
    method = {"mode": mode, "iterations": 3} | (
        {"vocabulary": None, "vocabulary_limit": None, "fragment_length": None}
        if mode == "demonstrations"
        else {}
    )
    result = run_config(skewed(method=method))
    for site in small.sites:
        scores = result.data["sites"][site]["metrics"]["test"]
        assert scores["tuned"]["n"] == scores["plain"]["n"] == small.test
        shown = {example.label for example in result.prompt(site).demonstrations}
        if mode != "fragment":
            assert shown == ({"positive"} if site == "meals" else {"negative", "positive"})
    assert any("meals (no 'negative')" in warning for warning in result.data["warnings"])
    assert result.predict([{"text_a": "the soup was superb"}], "meals")[0]["scores"] is not None
    assert "meals" in build_page(result.directory)


def test_it_is_resumed_and_estimated_like_any_other(small: Any, skewed: Any) -> None:
    def stop(event: Event) -> None:
        if event.kind == "step" and event.data["iteration"] == 2:
            raise KeyboardInterrupt

    whole = run_config(skewed("whole", method={"iterations": 4}))
    with pytest.raises(KeyboardInterrupt):
        run_config(skewed("halves", method={"iterations": 4}), observers=[stop])
    again = resume_run(small.folder / "halves")
    assert small.outcome(again.directory) == small.outcome(whole.directory)
    assert estimate_run(skewed("other")).most.usage.calls > 0


@pytest.mark.parametrize("method", ["random-icl", "kate", "fedpob", "cendbt"])
def test_methods_to_compare_with_take_it_too(small: Any, skewed: Any, method: str) -> None:
    result = run_method(method, skewed(method={"iterations": 2}))
    assert result.data["metrics"]["test"]["tuned"]["n"] == 3 * small.test


def test_a_class_that_no_site_has_is_an_error(small: Any) -> None:
    rows = [row for row in small.rows("train") if row["label"] == "positive"]
    data = {"train": small.write("one.jsonl", rows), "validation": None, "test": None}
    with pytest.raises(DataError, match="class 'negative': 0 training examples at any site"):
        run_config(small.config(data=data))
