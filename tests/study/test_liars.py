"""What liars cost: which runs a study has for it, and what its table and figure say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.pocket import INSTRUCTION_WORDS, false_clues, fragment_vocabulary, signed
from asyndbt.report import build_page
from asyndbt.robustness import ATTACKS
from asyndbt.study import CellResult, StudyFile, _execute, cells_of, load_study, run_study
from asyndbt.study._execute import execute_cells
from asyndbt.study._figures import draw_figures
from asyndbt.study._frame import curve_of, results_of, without_liars
from asyndbt.study._liars import attacked_runs
from asyndbt.study._summary import Summary, summaries

Make = Callable[..., StudyFile]
LOST = {"collude": 0.2, "vote": 0.01}
PRODUCT = {"federation": {"liars": {"attack": [*LOST], "share": [0.0, 0.34]}}}
TABLES = [
    {"attack": "collude", "share": 0.0},
    {"attack": "vote", "share": 0.34},
    {"attack": "collude", "share": 0.34},
]


class Lied:
    """Stands in for `run_method`: three sites of which "c" may lie, and accuracies by attack."""

    accuracy: Mapping[str, float] = {"a": 0.9, "b": 0.7, "c": 0.1}
    n: Mapping[str, int] = {"a": 30, "b": 10, "c": 20}

    def __call__(self, method: str, config: Config, **_: Any) -> None:
        liars = config.federation.liars
        lost = LOST[liars.attack] if liars else 0.0
        lying = ["c"] if liars else []
        sites = {
            name: {
                "metrics": {"test": self._scores(self.accuracy[name] - lost, n)},
                "kept_own": liars is not None and name == "a",
            }
            for name, n in self.n.items()
        }
        honest = [name for name in sites if name not in lying]
        tested = sum(self.n[name] for name in honest)
        right = sum(self.n[name] * (self.accuracy[name] - lost) for name in honest)
        words = ["x", "y"] if liars and liars.attack == "collude" else []
        data = {
            "metrics": {"test": self._scores(right / tested, tested)},
            "sites": sites,
            "liars": {"attack": liars.attack, "sites": lying, "words": words} if liars else None,
            "fragment": ["x", "z"],
            "ledger": {"calls": 300, "tokens_in": 900, "tokens_out": 100},
            "iterations": 2,
        }
        config.run.dir.mkdir(parents=True)
        (config.run.dir / "result.json").write_text(json.dumps(data))
        (config.run.dir / "events.jsonl").write_text("")

    @staticmethod
    def _scores(accuracy: float, n: int) -> dict[str, Any]:
        score = {"accuracy": accuracy, "loss": 1.0, "n": n, "interval": [0.0, 1.0]}
        return dict.fromkeys(("plain", "random_icl", "tuned"), score)


@pytest.fixture
def liars(study: Make, monkeypatch: pytest.MonkeyPatch) -> StudyFile:
    monkeypatch.setattr(_execute, "run_method", Lied())
    return study(methods=["asyndbt"], tables={"grid": PRODUCT})


def carried_out(file: StudyFile) -> tuple[list[CellResult], Summary]:
    part, done = file.study, execute_cells(cells_of(file), file.study.dir / "answers")
    (found,) = summaries(
        without_liars(results_of(done)),
        methods=part.methods,
        tasks=part.tasks,
        seeds=part.seeds,
        calls=part.calls,
    )
    return done, found


@pytest.mark.parametrize("grid", [PRODUCT, {"federation": {"liars": TABLES}}])
def test_runs_in_which_nobody_lies_are_run_once_whatever_the_attack(
    study: Make, grid: dict[str, Any]
) -> None:
    cells = cells_of(study(methods=["asyndbt"], seeds=[0], tables={"grid": grid}))
    assert Counter(cell.point for cell in cells) == {
        (("attack", "none"), ("share", 0.0)): 2,
        (("attack", "collude"), ("share", 0.34)): 2,
        (("attack", "vote"), ("share", 0.34)): 2,
    }
    assert len({cell.directory for cell in cells}) == len(cells)


def test_liars_by_name_are_told_by_their_share(study: Make) -> None:
    grid = {"federation": {"liars": [TABLES[0], {"attack": "vote", "sites": ["phones"]}]}}
    tasks = ["pocket:sentiment-consumer"]
    cells = cells_of(study(methods=["asyndbt"], seeds=[0], tasks=tasks, tables={"grid": grid}))
    assert (("attack", "vote"), ("share", 0.333)) in {cell.point for cell in cells}


def test_liars_are_measured_against_runs_without_them(study: Make) -> None:
    grid = {"federation": {"liars": {"attack": ["vote"], "share": [0.34]}}}
    with pytest.raises(ConfigError, match=r"grid\.federation\.liars has no share of 0: add one"):
        cells_of(study(methods=["asyndbt"], tables={"grid": grid}))


@pytest.mark.parametrize("method", ["cendbt", "random-icl"])
def test_methods_in_which_no_site_can_lie_are_refused(study: Make, method: str) -> None:
    with pytest.raises(ConfigError, match=f'method {method}, task .* run of "{method}" no site'):
        cells_of(study(methods=["asyndbt", method], tables={"grid": PRODUCT}))


def test_one_attack_with_one_share_is_one_point(study: Make) -> None:
    liars = [*TABLES, {"attack": "collude", "share": 0.34, "words": ["portable"]}]
    with pytest.raises(ConfigError, match="an attack with one share more than once"):
        cells_of(study(methods=["asyndbt"], tables={"grid": {"federation": {"liars": liars}}}))


def test_points_are_lost_at_the_same_sites(liars: StudyFile) -> None:
    done, summary = carried_out(liars)
    found = attacked_runs(results_of(done), summary, "asyndbt")
    assert [(each.attack, each.share) for each in found] == [
        ("none", 0.0),
        ("collude", 0.34),
        ("vote", 0.34),
    ]
    nobody, collude, vote = found
    everybody = (30 * 0.9 + 10 * 0.7 + 20 * 0.1) / 60
    assert nobody.accuracy == pytest.approx([everybody] * 4)
    assert nobody.losses == []
    assert collude.accuracy == pytest.approx([0.65] * 4), "0.85 at these sites without liars"
    assert collude.losses == pytest.approx([0.2] * 4)
    assert vote.losses == pytest.approx([0.01] * 4)
    assert (collude.chosen, vote.chosen, nobody.chosen) == (1.0, 0.0, 0.0)
    assert (collude.kept_own, nobody.kept_own) == (0.5, 0.0)


def test_the_page_says_that_liars_were_simulated_and_what_they_cost(liars: StudyFile) -> None:
    run_study(liars)
    page = (liars.study.dir / "README.md").read_text("utf-8")
    assert "**In 8 runs liars were simulated**" in page
    assert "| collude | 34 % | 65.0 | +20.0 | +20.0 | +20.0 | +20.0 | 100% | 50% |" in page
    assert "| none | 0 % | 60.0 | – | – | – | – | 0% | 0% |" in page
    assert "](figures/liars-asyndbt.svg)" in page
    for file in (
        "tables/liars-asyndbt.md",
        "tables/liars-asyndbt.tex",
        "figures/liars-asyndbt.png",
    ):
        assert (liars.study.dir / file).exists()
    assert page.count("**Table 3.") == 1, "of the runs in which nobody lies"
    assert "| asyndbt | 60.0" in page
    assert "liars were simulated" in build_page(liars.study.dir)


def test_the_figure_shows_every_attack_and_the_shares(
    liars: StudyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda self, *_, **__: kept.append(self)
    )
    done, summary = carried_out(liars)
    found = attacked_runs(results_of(done), summary, "asyndbt")
    (name, caption), *_ = draw_figures(summary, curve_of(done), Path(), {"asyndbt": found})
    assert name == "liars-asyndbt"
    assert "simulated liars" in caption
    by_attack, by_share = kept[0].axes
    assert [text.get_text() for text in by_attack.get_yticklabels()] == [*LOST]
    assert by_attack.get_xlabel() == "points lost with 34 % liars"
    lost, *_ = by_attack.get_lines()
    assert lost.get_xdata() == pytest.approx([20.0, 1.0])
    accuracies = [line.get_ydata().tolist() for line in by_share.get_lines()[::3]]
    assert accuracies == [pytest.approx([60.0, 65.0]), pytest.approx([60.0, 84.0])]


def test_without_liars_nothing_is_shown_of_them(
    study: Make, pretended: object, tmp_path: Path
) -> None:
    file = study(seeds=[0])
    run_study(file)
    assert "liars" not in (file.study.dir / "README.md").read_text("utf-8")


STUDIES = Path(__file__).parents[2] / "studies"


def test_the_study_of_robustness_has_every_attack() -> None:
    grid = load_study(STUDIES / "robustness.toml").grid["federation"]["liars"]
    assert {each["attack"] for each in grid if each["share"] == 0.3} == set(ATTACKS)


@pytest.mark.parametrize("name", ["robustness.toml", "liar_of_three.toml"])
def test_the_studies_of_liars_know_nobody_lying_and_words_that_mislead(name: str) -> None:
    file = load_study(STUDIES / name)
    assert any(each["share"] == 0.0 for each in file.grid["federation"]["liars"])
    vocabulary = fragment_vocabulary()
    for task in file.study.tasks:
        harmful = [*false_clues(signed(task.removeprefix("pocket:"))), *INSTRUCTION_WORDS]
        known = [word for word in dict.fromkeys(harmful) if word in vocabulary]
        assert file.tasks[task]["federation"]["liars"]["words"] == known[:6]
