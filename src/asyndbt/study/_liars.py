"""What liars cost: the accuracy of honest sites by attack and share, and what they lose by it.

Every run is set against the run of the same task and seed in which nobody lies, at the same sites:
those that are honest in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import pandas as pd

from asyndbt.study._cells import ATTACK, HONEST, SHARE
from asyndbt.study._frame import KEPT_OWN, LIES, OVERALL, WANTED
from asyndbt.study._summary import Mean, Summary, mean_of
from asyndbt.study._tables import NONE, TextCell, TextTable, interval_text, short

_MUCH: Final = 0.5
"""Share of the liars' words in a fragment from which on it counts as chosen by them."""
_OF_A_RUN: Final = [ATTACK, SHARE, "task", "seed"]


@dataclass(frozen=True, slots=True)
class Attacked:
    """The runs of an attack with one share of liars.

    Parameters
    ----------
    accuracy : list of float
        Of honest sites together, by run.
    lost : dict of str to list of float
        By task and run: what these sites lose against the run in which nobody lies.
    chosen : float
        Share of the runs whose fragment is half of the liars' words or more.
    kept_own : float
        Share of the honest sites that keep a fragment of their own.
    """

    attack: str
    share: float
    accuracy: list[float]
    lost: dict[str, list[float]]
    chosen: float
    kept_own: float

    @property
    def losses(self) -> list[float]:
        """What is lost in every run."""
        return [value for values in self.lost.values() for value in values]

    @property
    def mean_lost(self) -> Mean:
        """The mean over runs; without liars nothing is lost."""
        return mean_of(self.losses or [0.0])


def attacked_runs(results: pd.DataFrame, summary: Summary, method: str) -> list[Attacked]:
    """Return the runs of a method by share and attack, the most harmful attack first.

    There are none where nobody lies.

    Parameters
    ----------
    results : DataFrame
        At the summary's point of the grid, whoever lies.
    """
    if ATTACK not in results:
        return []
    sites = _by_site(results, summary, method)
    known = {run: some.droplevel(_OF_A_RUN) for run, some in sites.groupby(level=_OF_A_RUN)}
    honest = {run[2:]: some for run, some in known.items() if run[0] == HONEST}
    grouped: dict[tuple[str, str], dict[Any, pd.DataFrame]] = {}
    for (attack, share, *run), some in known.items():
        grouped.setdefault((attack, share), {})[tuple(run)] = some
    found = [
        _attacked(attack, float(share), runs, {} if attack == HONEST else honest)
        for (attack, share), runs in grouped.items()
    ]
    if all(each.attack == HONEST for each in found):
        return []
    return sorted(found, key=lambda each: (each.share, -each.mean_lost.mean))


def _by_site(results: pd.DataFrame, summary: Summary, method: str) -> pd.DataFrame:
    """Return accuracy, n, lies, kept_own and wanted by run and site; the last at all sites."""
    metrics = {"test": ("accuracy", "n"), "train": (LIES, KEPT_OWN, WANTED)}
    wanted = [
        (results["split"] == split) & results["metric"].isin(names)
        for split, names in metrics.items()
    ]
    some = results[
        (wanted[0] | wanted[1])
        & (results["method"] == method)
        & (results["budget"] == summary.calls)
        & (results["mode"] == summary.mode)
    ]
    table = some.pivot_table("value", [*_OF_A_RUN, "site"], "metric")
    columns = [name for names in metrics.values() for name in names]
    return table.reindex(columns=columns)


def _attacked(
    attack: str, share: float, runs: dict[Any, pd.DataFrame], honest: dict[Any, pd.DataFrame]
) -> Attacked:
    accuracy, chosen, kept = [], [], []
    lost: dict[str, list[float]] = {}
    for (task, seed), run in runs.items():
        sites = run[(run[LIES] != 1) & (run.index != OVERALL)]
        accuracy.append(_together(sites))
        kept += sites[KEPT_OWN].dropna().tolist()
        chosen.append(run[WANTED].max() >= _MUCH)
        if (task, seed) in honest:
            same = honest[task, seed].reindex(sites.index)
            lost.setdefault(task, []).append(_together(same) - accuracy[-1])
    return Attacked(attack, share, accuracy, lost, fmean(chosen), fmean(kept) if kept else 0.0)


def _together(sites: pd.DataFrame) -> float:
    return float((sites["accuracy"] * sites["n"]).sum() / sites["n"].sum())


def liars_table(summary: Summary, method: str, attacked: Sequence[Attacked]) -> TextTable:
    """Return the table of what liars cost."""
    return TextTable(
        f"liars-{method}",
        f"What simulated liars cost the honest sites: {method}, accuracy on the test split",
        [
            *("attack", "liars", "honest sites, per cent", "points lost"),
            *(f"lost, {short(task)}" for task in summary.tasks),
            *("worst run", "chosen", "kept own"),
        ],
        [list(map(TextCell, _row(each, summary))) for each in attacked],
        "Honest sites: mean over runs of the accuracy of all sites that do not lie. Points lost: "
        "accuracy of the same sites in the run in which nobody lies, minus that, paired by task "
        "and seed; mean over runs with 95 % intervals, and mean by task. Worst run: most points "
        "lost. Chosen: runs whose fragment for all sites is half of the liars' words or more; of "
        "attacks that want no words, none. Kept own: honest sites that keep a fragment of their "
        "own. Runs with liars are in no other table.",
    )


def _row(each: Attacked, summary: Summary) -> list[str]:
    expected, losses = len(summary.tasks) * len(summary.seeds), each.losses
    few = f" (n = {len(losses)})" if losses and len(losses) < expected else ""
    return [
        each.attack,
        f"{100 * each.share:.0f} %",
        f"{100 * fmean(each.accuracy):.1f}",
        f"{interval_text(each.mean_lost, sign='+')}{few}" if losses else NONE,
        *(
            f"{100 * fmean(each.lost[task]):+.1f}" if task in each.lost else NONE
            for task in summary.tasks
        ),
        f"{100 * max(losses):+.1f}" if losses else NONE,
        f"{each.chosen:.0%}",
        f"{each.kept_own:.0%}",
    ]
