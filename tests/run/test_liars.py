"""Runs in which some sites lie, as [federation.liars] says."""

from __future__ import annotations

from typing import Any

import pytest

from asyndbt.baselines import resume_run, run_method
from asyndbt.cli._outcome_text import accuracy_table
from asyndbt.config import Config
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.report import build_page
from asyndbt.robustness import ATTACKS
from asyndbt.run import Event, Result, load_inputs, run_config
from asyndbt.run._liars import liars_of

HONEST = ("movies", "phones")
WORDS = ["absolute", "airy", "arena"]


@pytest.fixture
def lied(small: Any) -> Any:
    """Makes configurations of small runs on a virtual clock, in which "meals" lies."""

    def config(name: str = "run", **liars: Any) -> Config:
        table = {"attack": "collude", "sites": ["meals"], **liars}
        table = {key: value for key, value in table.items() if value is not None}
        made: Config = small.config(
            name,
            federation={"engine": "virtual", "liars": table},
            method={"random_icl_draws": 1},
        )
        return made

    return config


def correct(result: Result, sites: Any) -> float:
    tests = [result.data["sites"][name]["metrics"]["test"]["tuned"] for name in sites]
    return sum(test["accuracy"] * test["n"] for test in tests)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_result_says_who_lied_and_counts_the_others_alone(lied: Any, attack: str) -> None:
    result = run_config(lied(attack=attack))
    data, tested = result.data, result.data["metrics"]["test"]["tuned"]
    assert data["liars"]["attack"] == attack
    assert data["liars"]["sites"] == ["meals"]
    assert set(data["sites"]) == {"meals", *HONEST}, "names that were made up are no sites"
    assert (
        tested["n"]
        == data["test_examples"]
        == sum(data["sites"][name]["test_examples"] for name in HONEST)
    )
    assert tested["accuracy"] * tested["n"] == pytest.approx(correct(result, HONEST), abs=1e-3)
    (warning,) = [text for text in data["warnings"] if "SIMULATED LIARS" in text]
    assert "'meals'" in warning
    assert f'"{attack}"' in warning


def test_it_is_shown_wherever_accuracies_are(lied: Any) -> None:
    result = run_config(lied())
    lines = accuracy_table(result.data).splitlines()
    assert [line.split("  ")[0] for line in lines[1:6]] == [
        "meals (lies)",
        *HONEST,
        "honest sites",
        "median of sites",
    ]
    assert "2 sites" in lines[5]
    for page in (result._repr_html_(), build_page(result.directory)):
        assert "SIMULATED LIARS" in page
        assert "meals (lies)" in page
        assert "onest sites" in page
        assert "ll sites" not in page.split("Prompt", 1)[0].split("<nav")[0]


def test_colluders_want_the_words_given_or_words_by_the_seed(small: Any, lied: Any) -> None:
    known = load_inputs(lied()).vocabulary
    words = list(known[:3])
    given = run_config(lied("given", words=words)).data["liars"]["words"]
    drawn = run_config(lied("drawn")).data["liars"]["words"]
    assert given == words
    assert len(drawn) == 3
    assert set(drawn) <= set(known)
    assert run_config(lied("honest", attack="vote", words=words)).data["liars"]["words"] == []


def test_an_interrupted_run_begins_again_and_ends_alike(small: Any, lied: Any) -> None:
    """The attack depends on what liars remember, which is kept nowhere."""

    def stop(event: Event) -> None:
        if event.kind == "step" and event.data["iteration"] == 3:
            raise KeyboardInterrupt

    whole = run_config(lied("whole", attack="alie"))
    with pytest.raises(KeyboardInterrupt):
        run_config(lied("run", attack="alie"), observers=[stop])
    again = resume_run(small.folder / "run")
    for record in (whole, again):
        record.data["ledger"].pop("cached")
    assert again.data == whole.data
    with pytest.raises(RunDirectoryError, match="a run with simulated liars ends where it ends"):
        resume_run(again.directory, budget={"calls": 9_000})


def test_flipped_labels_are_at_the_liars_alone_and_not_in_their_test_data(lied: Any) -> None:
    truth, told = load_inputs(lied(attack="vote")), load_inputs(lied(attack="label-flip"))
    for name in truth.sites:
        before, after = truth.sites[name].data, told.sites[name].data
        assert after.test == before.test
        for part in ("pool", "train", "validation"):
            pairs = zip(getattr(before, part), getattr(after, part), strict=True)
            differ = {one.label != other.label for one, other in pairs}
            assert differ == {name == "meals"}


@pytest.mark.parametrize(("share", "count"), [(0.1, 1), (0.3, 3), (0.4, 4), (0.25, 3), (0.24, 2)])
def test_a_share_is_in_whole_sites_and_a_larger_one_adds_to_it(
    lied: Any, share: float, count: int
) -> None:
    names = [f"site-{number}" for number in range(10)]
    config = lied(sites=None, share=share)
    found = liars_of(config, names)
    assert len(found) == count
    assert found == liars_of(config, names[::-1])
    larger = liars_of(config.override({"federation.liars.share": 0.5}), names)
    assert set(found) < set(larger)
    others = [config.override({"run.seed": seed}) for seed in range(8)]
    assert len({liars_of(other, names) for other in others}) > 1


@pytest.mark.parametrize(
    ("liars", "text"),
    [
        ({"sites": None, "share": 0.1}, "of 3 sites none would lie"),
        ({"sites": None, "share": 0.9}, "of 3 sites all would lie"),
        ({"sites": ["meal"]}, "federation.liars.sites names 'meal', which is not one of the sites"),
        ({"words": ["portable"]}, "federation.liars.words: 1 given for the 3 positions"),
        ({"words": ["one", "two", "three"]}, "names 'one', which is not in the vocabulary"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_request(
    lied: Any, liars: dict[str, Any], text: str
) -> None:
    config = lied(**liars)
    with pytest.raises(ConfigError, match=text):
        run_config(config)
    assert not (config.run.dir / "events.jsonl").exists()


@pytest.mark.parametrize("method", ["random-icl", "cendbt"])
def test_methods_in_which_no_site_can_lie_say_so(lied: Any, method: str) -> None:
    with pytest.raises(ConfigError, match=r"federation\.liars"):
        run_method(method, lied())
