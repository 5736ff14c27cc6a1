"""Pages on runs of every kind, without a browser."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from asyndbt.cli import main
from asyndbt.errors import DataError, RunDirectoryError
from asyndbt.optim import NO_WORD
from asyndbt.report import build_comparison, build_page
from asyndbt.report._policies import _heat_map
from asyndbt.run import Result, wrong_answers

HOSTILE = "<script>alert(1)</script>"
KINDS = [
    "three",
    "virtual",
    "one-site",
    "untested",
    "demonstrations",
    "hostile",
    "apart",
    "interrupted",
]
VOID = {"meta", "link", "img", "br", "path"}


class Outline(HTMLParser):
    """Collects elements, links and headings, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.nameless_figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [values[key] or "" for key in ("src", "href") if key in values]
        self.names |= {values["id"] or ""} if "id" in values else set()
        assert not any(key.startswith("on") for key in values)
        if values.get("role") == "img" and not values.get("aria-label"):
            self.nameless_figures += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    return parser


def words(page: str) -> str:
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return unescape(re.sub(r"<[^>]+>", " ", text)).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_gives_one_whole_page(runs: dict[str, Path], kind: str) -> None:
    page = build_page(runs[kind])
    found = outline(page)
    assert "script" not in found.tags
    assert found.tags.count("h1") == 1
    assert found.nameless_figures == 0
    for link in found.links:
        assert link == "data:," or link.removeprefix("#") in found.names
    assert "http://" not in re.sub(r"<(pre|td|li|h3|q)\b.*?</\1>", "", page, flags=re.S)


@pytest.mark.parametrize("kind", ["three", "virtual", "one-site", "demonstrations"])
def test_figures_are_those_of_the_result(runs: dict[str, Path], kind: str) -> None:
    result = json.loads((runs[kind] / "result.json").read_text())
    exact = {float(value) for value in re.findall(r'<data value="([^"]+)"', build_page(runs[kind]))}
    tests = [result["metrics"]["test"]]
    tests += [site["metrics"]["test"] for site in result["sites"].values()]
    for scores in tests:
        assert {scores[name]["accuracy"] for name in scores if scores[name]} <= exact
    assert {float(number) for number in result["ledger"].values()} <= exact
    assert result["iterations"] in exact


def test_the_tuned_prompts_are_shown_as_they_are(runs: dict[str, Path]) -> None:
    page = unescape(build_page(runs["three"]))
    for file in runs["three"].glob("sites/*/prompt.txt"):
        assert file.read_text().rstrip("\n") in page


def test_hostile_texts_are_texts(runs: dict[str, Path]) -> None:
    page = build_page(runs["hostile"])
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<img" not in page
    assert "<b>feel</b>" not in page


def test_a_run_without_test_data_says_so(runs: dict[str, Path]) -> None:
    said = words(build_page(runs["untested"]))
    assert "there was no test data" in said
    assert "No accuracy was measured" in said


def test_one_site_needs_no_agreement(runs: dict[str, Path]) -> None:
    said = words(build_page(runs["one-site"]))
    assert "How far the sites are apart" not in said
    assert "All sites" not in said
    assert "One site: a server step follows every answer." in said


def test_the_median_over_the_sites_stands_beside_the_mean(runs: dict[str, Path]) -> None:
    result = json.loads((runs["three"] / "result.json").read_text("utf-8"))
    middle = 100 * result["metrics"]["test"]["tuned"]["site_median"]
    assert f"tuned prompt {middle:.1f} %." in words(build_page(runs["three"]))
    assert "Median over the sites" not in words(build_page(runs["one-site"]))


def test_validation_accuracies_have_their_n(runs: dict[str, Path]) -> None:
    said = words(build_page(runs["three"]))
    events = (runs["three"] / "events.jsonl").read_text("utf-8").splitlines()
    steps = [event for event in map(json.loads, events) if event["kind"] == "step"]
    (n,) = {score["n"] for step in steps for score in step["validation"].values()}
    assert f"of {n} validation examples: for the record only" in said


def test_early_stopping_is_a_use_of_validation_data(runs: dict[str, Path], tmp_path: Path) -> None:
    directory = shutil.copytree(runs["three"], tmp_path / "early")
    file = directory / "config.toml"
    text = file.read_text("utf-8").replace("[method]", "[method]\npatience = 2")
    file.write_text(text, "utf-8")
    said = words(build_page(directory))
    assert "tuning ends after 2 looks without a lower loss" in said
    assert "for the record only" not in said


@pytest.mark.parametrize("kind", ["three", "one-site"])
def test_what_is_still_wrong_is_shown_where_it_is_asked_for(
    runs: dict[str, Path], kind: str
) -> None:
    before = {file: file.read_bytes() for file in runs[kind].rglob("*.json")}
    result = Result(runs[kind])
    found = wrong_answers(result)
    asked = words(build_page(runs[kind], errors=True))
    unasked = words(build_page(runs[kind]))
    assert list(found) == result.sites
    assert sum(len(each.wrong) for each in found.values()) > 0
    shown = {e.fields["text_a"] for site in found for e in result.prompt(site).demonstrations}
    for site, errors in found.items():
        score = result.data["sites"][site]["metrics"]["test"]["tuned"]
        right = errors.tested - len(errors.wrong)
        assert (errors.tested, right / errors.tested) == pytest.approx(
            (score["n"], score["accuracy"]), abs=1e-6
        )
        predicted = result.predict([each.fields for each in errors.wrong], site)
        assert [each.answered for each in errors.wrong] == [row["prediction"] for row in predicted]
        for each in errors.wrong:
            assert each.expected != each.answered
            assert each.fields["text_a"] in asked
            assert each.fields["text_a"] not in unasked or each.fields["text_a"] in shown
    assert before == {file: file.read_bytes() for file in runs[kind].rglob("*.json")}


def test_errors_of_other_data_or_of_lost_answers_are_not_made_up(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    directory = shutil.copytree(runs["three"], tmp_path / "copy")
    (directory / "sites" / "meals" / "answers.sqlite").unlink()
    assert list(wrong_answers(Result(directory))) == ["movies", "phones"]
    assert not (directory / "sites" / "meals" / "answers.sqlite").exists()
    file = directory / "config.toml"
    text, rows = file.read_text("utf-8"), tmp_path / "test.jsonl"
    (source,) = re.findall(r'^test = "(.+)"$', text, re.MULTILINE)
    rows.write_text("\n".join(Path(source).read_text("utf-8").splitlines()[1:]), "utf-8")
    file.write_text(text.replace(source, str(rows)), "utf-8")
    with pytest.raises(RunDirectoryError, match=r"has other data now than in this run \(test\)"):
        build_page(directory, errors=True)


def test_where_no_site_is_there_are_no_errors(runs: dict[str, Path], tmp_path: Path) -> None:
    """As at a coordinator whose sites are elsewhere, with their data."""
    directory = shutil.copytree(runs["three"], tmp_path / "copy")
    shutil.rmtree(directory / "sites")
    file = directory / "config.toml"
    text = file.read_text("utf-8")
    file.write_text(re.sub(r'(?m)^(train|validation|test) = ".+"$', r'\1 = "gone.jsonl"', text))
    assert "its prompts are at the sites" in words(build_page(directory, errors=True))


def test_hostile_errors_are_texts(runs: dict[str, Path]) -> None:
    assert HOSTILE not in build_page(runs["hostile"], errors=True)


def test_errors_are_of_one_finished_run(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="the run is not finished"):
        build_page(runs["interrupted"], errors=True)
    page, directory = str(tmp_path / "page.html"), str(runs["three"])
    assert main(["report", directory, "--errors", "--output", page]) == 0
    assert "What is still wrong" in Path(page).read_text("utf-8")
    for others in ([directory], ["--watch"]):
        assert main(["report", directory, *others, "--errors"]) == 1
    assert "name one directory" in capsys.readouterr().err


def test_what_was_not_tuned_is_not_shown(runs: dict[str, Path]) -> None:
    assert "Words by position" not in words(build_page(runs["demonstrations"]))
    fragment = words(build_page(runs["untested"]))
    assert "Words by position" in fragment
    assert "Demonstrations" not in fragment.replace("Demonstrations are examples", "")


def test_an_interrupted_run_is_shown_as_far_as_it_came(runs: dict[str, Path]) -> None:
    said = words(build_page(runs["interrupted"]))
    assert "This run is not finished" in said
    assert "How tuning went" in said
    assert "What left each site" in said, "the checkpoint has the traffic so far"
    assert "Candidates by slot at meals" in said


def test_a_run_that_has_just_begun_has_a_page(tmp_path: Path, runs: dict[str, Path]) -> None:
    (tmp_path / "config.toml").write_bytes((runs["three"] / "config.toml").read_bytes())
    (tmp_path / "events.jsonl").write_text('{"kind": "start", "elapsed": 0.0, "si')
    assert "has just begun" in words(build_page(tmp_path))


def test_without_the_sites_parts_the_report_says_what_it_lacks(runs: dict[str, Path]) -> None:
    said, whole = words(build_page(runs["apart"])), words(build_page(runs["three"]))
    assert "this record does not have them" in said
    assert "[demonstrations of the site]" in said
    assert "the consensus of all sites" in said
    for file in runs["three"].glob("sites/*/result.json"):
        for shown in json.loads(file.read_text())["demonstrations"]:
            assert shown["text_a"] in whole
            assert shown["text_a"] not in said


def test_sites_that_went_and_came_back_are_named(runs: dict[str, Path]) -> None:
    page = build_page(runs["virtual"])
    gone = [
        event
        for line in (runs["virtual"] / "events.jsonl").read_text().splitlines()
        if (event := json.loads(line))["kind"] == "gone"
    ]
    assert "movies" in {event["site"] for event in gone}
    said = words(page)
    assert "Sites that were gone" in said
    assert re.search(r"movies\s+\d+ s to 25 s", said)


def test_the_report_writes_nothing_into_the_run(runs: dict[str, Path]) -> None:
    def state() -> dict[Path, str]:
        files = (file for file in runs["three"].rglob("*") if file.is_file())
        return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    before = state()
    build_page(runs["three"])
    assert state() == before


def test_paths_of_the_machine_stay_out(runs: dict[str, Path]) -> None:
    assert str(runs["three"].parent) not in build_page(runs["three"])


@pytest.mark.parametrize("sites", [3, 60])
def test_a_long_run_stays_small(tmp_path: Path, runs: dict[str, Path], sites: int) -> None:
    names = [f"site-{number}" for number in range(sites)]
    first = json.loads((runs["three"] / "events.jsonl").read_text().splitlines()[0])
    first["sites"] = {name: {"train": 9, "validation": 3, "test": 3} for name in names}
    events = [first]
    for t in range(1, 1001):
        active = [name for k, name in enumerate(names) if (k + t) % 2]
        events.append(
            {
                "kind": "step",
                "elapsed": 1.7 * t,
                "iteration": t,
                "active": active,
                "staleness": {name: int(name not in active) for name in names},
                "gone": [],
                "loss": dict.fromkeys(names, 0.1 + 0.001 * (7919 * t % 997)),
                "validation": {},
                "entropy_p": 5 / t,
                "entropy_q": dict.fromkeys(names, 3 / t),
                "calls": dict.fromkeys(names, 20 * t),
                "calls_total": 20 * t * sites,
                "calls_limit": None,
                "planes": t % 9,
                "consensus_distance": 1 / t,
                "seconds_left": None,
                "phase": "tuning",
            }
        )
    (tmp_path / "config.toml").write_bytes((runs["three"] / "config.toml").read_bytes())
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    page = build_page(tmp_path)
    outline(page)
    assert len(page.encode()) < 2_000_000


@pytest.mark.parametrize("finished", [True, False])
def test_the_curve_of_another_method_is_drawn(
    tmp_path: Path, runs: dict[str, Path], finished: bool
) -> None:
    (tmp_path / "config.toml").write_bytes((runs["three"] / "config.toml").read_bytes())
    steps = [
        {
            "kind": "step",
            "elapsed": 1.0,
            "calls": {"meals": 100 * k},
            "calls_total": 100 * k,
            "active": ["meals"],
            "iteration": k,
            "loss": {"meals": 1 / k},
            "validation": {"meals": {"accuracy": 0.5 + k / 20}},
            "entropy_q": {},
        }
        for k in range(1, 6)
    ]
    start = {"kind": "start", "method": "fedone", "sites": {"meals": {}}, "elapsed": 0.0}
    events = [start, *steps]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    if finished:
        result = json.loads((runs["three"] / "result.json").read_text()) | {"method": "fedone"}
        (tmp_path / "result.json").write_text(json.dumps(result))
    page = build_page(tmp_path)
    outline(page)
    assert "Training loss. nats over calls for tuning" in page
    assert "Validation accuracy on the way. % right over calls for tuning" in page
    assert "Validation loss" not in page
    assert ("fedone" in words(page)) == finished


def test_a_study_is_shown_as_it_lies_there(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(f"method,task,value\n{HOSTILE},sentiment,0.9\n")
    page = build_page(tmp_path)
    outline(page)
    assert HOSTILE not in page
    assert "results.csv, the first 1 row" in page
    (tmp_path / "figure.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "README.md").write_text(
        f"# Study one\n\n{HOSTILE} and `results.csv`.\n\n**Table 3**\n\n"
        "| method | mean |\n| --- | --- |\n| kate | **87.2 ± 2.7** |\n| bdpl | <u>80.1</u> |\n\n"
        "![Accuracy](figure.svg)\n\n*Accuracy.*\n\n![Elsewhere](../../secret.svg)\n"
    )
    page = build_page(tmp_path)
    found = outline(page)
    assert HOSTILE not in page
    assert "<caption>Table 3</caption>" in page
    assert "<b>87.2 ± 2.7</b>" in page
    assert "<u>80.1</u>" in page
    assert found.tags.count("img") == 1


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"no config\.toml"):
        build_page(tmp_path)


def test_a_damaged_record_is_an_error(tmp_path: Path, runs: dict[str, Path]) -> None:
    (tmp_path / "config.toml").write_bytes((runs["three"] / "config.toml").read_bytes())
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        build_page(tmp_path)


def test_a_run_that_was_evaluated_twice_says_so(runs: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(runs["three"], again)
    once = words(build_page(again))
    assert "used once, after every decision" in once
    events = again / "events.jsonl"
    told = [json.loads(line) for line in events.read_text().splitlines()]
    (evaluating,) = [e for e in told if e["kind"] == "phase" and e["phase"] == "evaluating"]
    with events.open("a") as file:
        file.write(json.dumps(evaluating) + "\n")
    twice = words(build_page(again))
    assert "used 2 times" in twice
    assert "used once" not in twice


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_stands_beside_another(runs: dict[str, Path], kind: str) -> None:
    for pair in ((kind, "hostile"), ("three", kind)):
        page = build_comparison(*(runs[each] for each in pair))
        assert {"script", "b"}.isdisjoint(outline(page).tags)
        assert all(each in words(page) for each in pair)


def test_where_no_word_is_chosen_none_is_ticked() -> None:
    policy = np.full((2, 12), 1 / 12)
    page = str(_heat_map("Words", "position", policy, {}, "word", [NO_WORD, NO_WORD]))
    assert "chosen: " not in page
    assert "word 0" not in page
