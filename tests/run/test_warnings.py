"""What a run says at its start, before anything is paid for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.run import RunDirectory, RunSetup, prepare_run


def setup_of(config: Config) -> RunSetup:
    setup = prepare_run(config, RunDirectory(config.run.dir))
    for site in setup.sites.values():
        site.close()
    return setup


def test_a_run_without_test_data_says_at_its_start_what_is_not_measured(small: Any) -> None:
    warnings = setup_of(small.config(data={"test": None})).warnings
    assert any(text.startswith("there is no test data (data.test): no acc") for text in warnings)
    some = [row for row in small.rows("test") if row["site"] != "meals"]
    data = {"test": small.write("some.jsonl", some)}
    warnings = setup_of(small.config(data=data)).warnings
    assert "no test examples at 'meals': no accuracy is measured there" in warnings
    assert not any("test" in text for text in setup_of(small.config()).warnings)


@pytest.mark.parametrize(
    ("calls", "rows", "said"),
    [
        (100, 40, r"a validation score is of \d of 80 examples, .*: give more budget"),
        (20_000, 3, "a validation score is of 6 examples, .*: give more validation examples"),
        (20_000, 40, None),
    ],
)
def test_scores_on_few_validation_examples_are_told(
    small: Any, calls: int, rows: int, said: str | None
) -> None:
    texts = [
        {"text_a": f"row {k} was good", "label": ("positive", "negative")[k % 2]}
        for k in range(2 * rows)
    ]
    data = {"validation": small.write("validation.jsonl", texts), "site_column": None}
    budget = {"per_site": None, "calls": calls}
    told = [
        text
        for text in setup_of(small.config(data=data, budget=budget)).warnings
        if "validation" in text
    ]
    assert len(told) == (said is not None)
    assert said is None or re.match(said, told[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": {"iterations": 7}}, "method.iterations allows 7 local steps of a site"),
        ({"budget": {"per_site": {"calls": 100}}}, r"the budget surely buys 10 local steps"),
        ({"budget": {"per_site": {"calls": 9_000}}}, None),
    ],
)
def test_few_local_steps_are_told_with_what_allows_no_more(
    small: Any, changes: dict[str, Any], said: str | None
) -> None:
    told = [text for text in setup_of(small.config(**changes)).warnings if "local step" in text]
    assert len(told) == (said is not None)
    assert said is None or re.match(said, told[0])


@pytest.mark.parametrize(("vocabulary", "unknown"), [("builtin", 44), ("pocket", 0)])
def test_a_vocabulary_that_the_pocket_model_cannot_read_is_a_warning(
    small: Any, vocabulary: str, unknown: int
) -> None:
    method = {"vocabulary": vocabulary, "vocabulary_limit": None}
    told = [
        text
        for text in setup_of(small.config(method=method)).warnings
        if "of the vocabulary" in text
    ]
    assert len(told) == bool(unknown)
    assert all(f"{unknown} of 127 entries" in text for text in told)


def test_repeated_words_are_told_as_other_remarks_are(small: Any) -> None:
    words = small.folder / "words.txt"
    words.write_text("think\nstep\nthink\n")
    method = {"vocabulary": str(words), "vocabulary_limit": None}
    said = "words.txt: 1 repeated entry merged, such as 'think' (lines 1 and 3)"
    assert said in setup_of(small.config(method=method)).warnings
