"""Runs whose vocabulary the model writes: what that brings, costs, records and keeps back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

import asyndbt.lm
from asyndbt.baselines import resume_run, run_method
from asyndbt.cli._outcome_text import outcome_text
from asyndbt.config import Config, load_config
from asyndbt.errors import BudgetError, ConfigError, DataError
from asyndbt.lm import Answer, Prompt
from asyndbt.report._record import read_record
from asyndbt.run import Event, Result, check_run, propose_hints, run_config, wrong_answers
from asyndbt.run._estimate import estimate_run
from asyndbt.testing import ScriptedLanguageModel

GOOD = "Weigh the adjectives more than the nouns."
OTHERS = ("Answer in haste.", "Prefer long words.", "Think of the weather.", "Count all vowels.")
METHOD = {"vocabulary": "propose", "vocabulary_limit": None, "fragment_length": None}
MOST = 240
BOUND = 20 + 2
"""Calls for hints at a site: its training queries, and two rounds of asking."""


class Stop(KeyboardInterrupt):
    """What ends a session in these tests: nothing catches it."""


def stop_at(count: int, asked: int) -> None:
    if asked == count:
        raise Stop


class Student:
    """Knows the label of every text if its prompt has the good hint, else of about half.

    With `spoilt`, a note of any other kind misleads it about all texts.
    """

    def __init__(self, small: Any, *hints: str, spoilt: bool = False) -> None:
        rows = [row for part in ("train", "validation", "test") for row in small.rows(part)]
        self._words = {row["text_a"]: small.task.labels[row["label"]] for row in rows}
        self.hints, self.spoilt = hints or (*OTHERS[:2], GOOD, *OTHERS[2:]), spoilt
        self.asked: list[str] = []
        self.before_answer: Callable[[int], None] = lambda count: None

    def __call__(self, prompt: Prompt, labels: Sequence[str]) -> Sequence[float] | str:
        self.asked.append(prompt.text)
        self.before_answer(len(self.asked))
        if prompt.most_tokens is not None:
            return "\n".join(f"{number}. {hint}" for number, hint in enumerate(self.hints, 1))
        text = next(text for text in self._words if f'"{text}"' in prompt.query)
        known = GOOD in prompt.query or bool(zlib.crc32(text.encode()) % 2)
        known = known and not (self.spoilt and "Note:" in prompt.query)
        right = labels.index(self._words[text])
        answer = right if known else 1 - right
        return [-0.1 if index == answer else -2.4 for index in range(2)]

    @property
    def requests(self) -> list[str]:
        """What it was asked for hints."""
        return [text for text in self.asked if text.endswith("Hints:")]


def config_of(small: Any, name: str = "run", most: int = MOST, **method: Any) -> Config:
    config: Config = small.config(
        name, method={**METHOD, **method}, budget={"per_site": {"calls": most}}
    )
    return config


def run(small: Any, student: Student, name: str = "run", **method: Any) -> Result:
    return run_config(config_of(small, name, **method), model=ScriptedLanguageModel(student))


def tuned(result: Result) -> float:
    accuracy: float = result.data["metrics"]["test"]["tuned"]["accuracy"]
    return accuracy


# ------------------------------------------------------------------ what it brings
@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str]) -> Any:
    """A finished run that tests only look at, with what the model was asked, and its makers."""
    from tests.run.conftest import Small

    small = Small(data_files, tmp_path_factory.mktemp("hints"))
    student = Student(small)
    return run(small, student), student, small


def test_hints_of_the_model_itself_raise_what_a_word_list_cannot(finished: Any) -> None:
    result, _, small = finished
    student = Student(small)
    words = small.config("words", budget={"per_site": {"calls": MOST}})
    assert (
        tuned(result) == 1.0 > tuned(run_config(words, model=ScriptedLanguageModel(student))) + 0.2
    )
    assert GOOD in result.fragment
    assert student.requests == []


def test_hints_that_only_do_harm_are_not_taken(small: Any) -> None:
    result = run(small, Student(small, *OTHERS, spoilt=True))
    assert result.fragment == []
    plain = result.data["metrics"]["test"]["plain"]["accuracy"]
    assert tuned(result) >= plain - 0.01


def test_a_later_round_shows_what_is_known(finished: Any) -> None:
    _, student, small = finished
    assert len(student.requests) == 2 * len(small.sites)
    again = [text for text in student.requests if f"- {GOOD}" in text]
    assert len(again) == len(small.sites)
    assert all("These it got wrong:" in text for text in student.requests)


# ------------------------------------------------------------------ what it costs
def test_hints_are_paid_by_the_site_and_counted(finished: Any) -> None:
    result, _, small = finished
    paid = {name: calls for name, (calls, _, _) in small.paid(result.directory).items()}
    assert max(paid.values()) <= MOST
    assert sum(paid.values()) == result.data["ledger"]["calls"]
    hints = result.data["hints"]
    assert hints["vocabulary"] == 5
    for site in hints["sites"].values():
        assert site == {"written": 5, "copied": 0, "calls": BOUND}
    said = " ".join(outcome_text(result, ()).split())
    assert "Hints: 5 hints to choose from, of 15 that the model wrote, for 66 calls" in said


@pytest.mark.parametrize("more", [-1, 0, 7])
def test_the_budget_holds_what_hints_may_cost(small: Any, more: int) -> None:
    student = Student(small)
    model = ScriptedLanguageModel(student)
    most = BOUND + small.step + (3 + 2) + (2 + 2) + more
    config = config_of(small, most=most)
    if more < 0:
        with pytest.raises(BudgetError, match="needs at least"):
            run_config(config, model=model)
        assert student.asked == []
        return
    result = run_config(config, model=model)
    assert all(calls <= most for calls, _, _ in small.paid(result.directory).values())
    assert model.charged.calls == result.data["ledger"]["calls"]


def test_an_estimate_counts_them_and_asks_nobody(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = Student(small)
    monkeypatch.setattr(asyndbt.lm.PocketLanguageModel, "writes", True, raising=True)
    config, words = config_of(small, iterations=3), small.config(method={"iterations": 3})
    found = estimate_run(config, 0.01)
    assert found.most.usage.calls >= found.least.usage.calls > 3 * BOUND
    assert found.least.usage.tokens_out > estimate_run(words, 0.01).least.usage.tokens_out
    assert student.asked == []


def test_methods_that_choose_no_words_do_not_pay_for_hints(small: Any) -> None:
    student = Student(small)
    result = run_method("random-icl", config_of(small), model=ScriptedLanguageModel(student))
    assert student.requests == []
    assert "hints" not in result.data


def test_a_search_has_the_same_hints(small: Any, finished: Any) -> None:
    student = Student(small)
    found = run_method("random-search", config_of(small), model=ScriptedLanguageModel(student))
    assert found.data["hints"] == finished[0].data["hints"]
    assert sorted(student.requests) == sorted(finished[1].requests)


# ------------------------------------------------------------------ going on
@pytest.mark.parametrize("count", [5, 17, 40])
def test_an_interruption_before_tuning_costs_no_answer_twice(
    small: Any, finished: Any, count: int
) -> None:
    student = Student(small)
    student.before_answer = partial(stop_at, count)
    with pytest.raises(Stop):
        run(small, student)
    lost = student.asked.pop()
    student.before_answer = lambda asked: None
    again = run(small, student)
    assert small.outcome(again.directory) == small.outcome(finished[0].directory)
    assert student.asked.count(lost) >= 1
    assert sorted(student.requests) == sorted(finished[1].requests)


def test_a_run_that_goes_on_asks_for_no_hints(small: Any, finished: Any) -> None:
    student = Student(small)
    config, model = config_of(small), ScriptedLanguageModel(student)

    def stop(event: Event) -> None:
        if event.kind == "step" and event.data["iteration"] == 4:
            raise Stop

    with pytest.raises(Stop):
        run_config(config, model=model, observers=[stop])
    first, student.asked = student.asked, []
    result = resume_run(config.run.dir, model=model)
    assert student.requests == []
    assert small.outcome(result.directory) == small.outcome(finished[0].directory)
    assert sorted(first + student.asked) == sorted(finished[1].asked)


def test_other_settings_before_the_run_has_begun_ask_anew(small: Any) -> None:
    student = Student(small)
    student.before_answer = partial(stop_at, 60)
    with pytest.raises(Stop):
        run(small, student, validations=1)
    student.asked.clear()
    student.before_answer = lambda asked: None
    result = run(small, student, validations=1, proposals=2)
    assert len(student.requests) == 2 * len(small.sites)
    assert {site["written"] for site in result.data["hints"]["sites"].values()} == {2}


# ------------------------------------------------------------------ what leaves a site
def test_planted_texts_stay_at_their_sites(small: Any) -> None:
    """A model that writes down what it is shown fools nobody but its own site."""
    rows = [
        {**row, "text_a": f"{row['text_a']} says Zyxquux7 of room 4711"}
        for row in small.rows("train")
    ]
    files = {"train": small.write("planted.jsonl", rows), "validation": None, "test": None}
    student = Student(small)
    student._words = {row["text_a"]: small.task.labels[row["label"]] for row in rows}

    def copied(prompt: Prompt, labels: Sequence[str]) -> Sequence[float] | str:
        if prompt.most_tokens is None:
            return student(prompt, labels)
        shown = [line[8:] for line in prompt.text.splitlines() if line.startswith("text_a: ")]
        words = shown[0].split()
        taken = [shown[0], " ".join(words[:5]), f"Ask {words[-5]}.", f"Look into {words[-1]}."]
        return "\n".join([*taken, "Trust Zyxquux7 alone.", *student.hints])

    config = small.config(method=METHOD, data=files, budget={"per_site": {"calls": MOST}})
    result = run_config(config, model=ScriptedLanguageModel(copied))
    assert all(site["copied"] >= 4 for site in result.data["hints"]["sites"].values())
    for file in result.directory.rglob("*"):
        if file.is_file() and "sites" not in file.relative_to(result.directory).parts:
            content = file.read_bytes().lower()
            assert b"zyxquux" not in content, file
            assert b"4711" not in content, file


def test_a_line_that_was_cut_off_is_no_hint(small: Any) -> None:
    class Cut(ScriptedLanguageModel):
        async def score(
            self, prompts: Sequence[Prompt], labels: Sequence[str]
        ) -> list[Answer | None]:
            answers = await super().score(prompts, labels)
            return [
                replace(answer, usage=replace(answer.usage, tokens_out=prompt.most_tokens))
                if answer is not None and prompt.most_tokens is not None
                else answer
                for prompt, answer in zip(prompts, answers, strict=True)
            ]

    student = Student(small, GOOD, "Count all vowels.", "Count all consonants, and th")
    result = run_config(config_of(small), model=Cut(student))
    assert result.data["hints"]["vocabulary"] == 2


def test_too_few_hints_say_what_happened(small: Any) -> None:
    student = Student(small, GOOD)
    with pytest.raises(DataError, match=r"leaves 1 hint: scripted wrote 3, of which 0 repeat.*or"):
        run(small, student)
    assert not (small.folder / "run" / "vocabulary.json").exists()


@pytest.mark.parametrize("fragment_length", [2, 12])
def test_a_model_that_writes_no_texts_is_refused(small: Any, fragment_length: int) -> None:
    config = config_of(small).override({"method.fragment_length": fragment_length})
    for ask in (run_config, estimate_run, partial(propose_hints, site="meals")):
        with pytest.raises(ConfigError, match=r'"propose": pocket/.* writes no texts: choose an'):
            ask(config)


# ------------------------------------------------------------------ the record
def test_the_record_has_the_words(finished: Any) -> None:
    result, _, _ = finished
    record = read_record(result.directory)
    assert record.vocabulary == dict(enumerate(record.hints))
    assert set(record.hints) == {GOOD, *OTHERS}
    assert load_config(result.directory / "config.toml").method.empty_fragment


def test_wrong_answers_are_found_with_the_words_of_the_run(finished: Any) -> None:
    result, _, small = finished
    assert {site: found.wrong for site, found in wrong_answers(result).items()} == dict.fromkeys(
        small.sites, ()
    )


def test_a_check_asks_for_none(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyndbt.lm.PocketLanguageModel, "writes", True)
    assert check_run(config_of(small)).sites == small.sites
