"""The figures of a study, readable without colour: markers, line styles, hatches.

Figure 1 and the figures of the tasks have the form of Figures 1 to 7 of the paper (Ma et al.,
doi 10.1038/s41598-026-39582-5); accuracy against calls is not in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asyndbt.study._cells import HONEST, is_baseline, needs_calls
from asyndbt.study._frame import OVERALL
from asyndbt.study._liars import Attacked
from asyndbt.study._summary import Mean, Summary, mean_of, means
from asyndbt.study._tables import short, training_time

_STYLES: Final = ("-", "--", "-.", ":")
_MARKERS: Final = "osD^vP*X<>hpd8"
_COLOURS: Final = (
    "#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#666666",
)  # fmt: skip
"""Okabe and Ito's, which most people can tell apart."""
_FREE_STYLE: Final = (0, (1, 3))
_SHIFT: Final = 1.008
_PANELS: Final = (
    ("validation_accuracy", "accuracy on validation data, per cent", 100),
    ("validation_loss", "cross-entropy on validation data, nats", 1),
    ("train_loss", "training loss", 1),
)
_POINTS: Final = 200
_LIARS_CAPTION: Final = (
    "What simulated liars cost: left, points of accuracy that honest sites lose against the run "
    "without liars, by attack; right, their accuracy by share of liars, of the attacks with most "
    "shares; means over tasks and seeds with 95 % intervals"
)


def draw_figures(
    summary: Summary,
    curve: pd.DataFrame,
    folder: Path,
    attacked: Mapping[str, Sequence[Attacked]] = MappingProxyType({}),
) -> list[tuple[str, str]]:
    """Draw every figure for which there are numbers, as SVG and PNG; return names and captions.

    Parameters
    ----------
    curve : DataFrame
        The curves at the summary's point of the grid.
    attacked : mapping of str to sequence of Attacked
        The runs with liars, by method.
    """
    # Equal numbers give equal files.
    matplotlib.rcParams["svg.hashsalt"] = "asyndbt"
    made = []
    liars = [(f"liars-{m}", _LIARS_CAPTION, _liars(some)) for m, some in attacked.items()]
    for name, caption, figure in (*liars, *_figures(summary, curve)):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=150)
        made.append((name, caption))
    return made


def _figures(summary: Summary, curve: pd.DataFrame) -> Iterator[tuple[str, str, Any]]:
    times = training_time(summary)
    if any(pooled.mean for *_, pooled in times):
        caption = "Figure 1. Time of tuning under the delays of the study, same calls in total"
        yield "figure1", caption, _time(times)
    main = curve[(curve["budget"] == summary.calls) & (curve["mode"] == summary.mode)]
    for number, task in enumerate(summary.tasks, start=2):
        some = main[main["task"] == task]
        if len(some):
            caption = (
                f"Figure {number}. {short(task)}: accuracy and cross-entropy on validation data "
                "where they were looked at, and the training loss, which is what the method "
                "lowers (that of method.loss; of encoder-mlp the cross-entropy; a moving mean over "
                "a twentieth of the run), over iterations; mean and standard deviation over seeds"
            )
            yield f"figure{number}", caption, _progress(summary, some)
    if len(summary.budgets()) > 1:
        caption = (
            "Accuracy on the test split against the calls of a site for tuning and choosing; mean "
            "over tasks, with 95 % intervals over the seeds that a budget has"
        )
        yield "accuracy-calls", caption, _by_calls(summary)


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(1, columns)


def _style(summary: Summary, method: str) -> dict[str, Any]:
    """Return how a method is drawn: the same in every figure."""
    return {
        **_line(summary.methods.index(method)),
        "label": method,
        "linewidth": 1.2 if is_baseline(method) else 2.2,
        "markersize": 5,
    }


def _line(index: int) -> dict[str, Any]:
    """Return how a line is told from the others."""
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "linestyle": _STYLES[index % len(_STYLES)],
        "marker": _MARKERS[index % len(_MARKERS)],
    }


def _time(times: Sequence[tuple[str, Mean, Mean]]) -> Any:
    figure, axes = _figure(1.5 + 1.1 * len(times), 3.6)
    at, width = np.arange(len(times)), 0.38
    for offset, found, name, hatch, fill in (
        (-width / 2, [ours for _, ours, _ in times], "asyndbt", "", "#0072b2"),
        (width / 2, [pooled for _, _, pooled in times], "cendbt", "//", "#ffffff"),
    ):
        axes.bar(
            at + offset,
            [mean.mean for mean in found],
            width,
            yerr=[mean.deviation or 0.0 for mean in found],
            label=name,
            color=fill,
            edgecolor="#000000",
            hatch=hatch,
            capsize=3,
        )
    axes.set_xticks(at, [short(task) for task, *_ in times], rotation=25, ha="right")
    axes.set_ylabel("seconds of tuning")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _progress(summary: Summary, curve: pd.DataFrame) -> Any:
    figure, panels = _figure(14.5, 3.8, len(_PANELS))
    drawn: dict[str, Any] = {}
    for axes, (metric, said, factor) in zip(panels, _PANELS, strict=True):
        for method in summary.methods:
            some = curve[(curve["method"] == method) & (curve["metric"] == metric)]
            curves = [over_iterations(points) for _, points in some.groupby("seed", sort=False)]
            if metric == "train_loss":
                curves = list(map(smoothed, curves))
            if curves:
                shown, style = band(curves), _style(summary, method)
                x, mean, spread = shown.index, shown["mean"], shown["deviation"]
                (line,) = axes.plot(x, factor * mean, markevery=max(1, x.size // 8), **style)
                drawn.setdefault(method, line)
                low = factor * np.maximum(mean - spread, 0.0)
                high = factor * (mean + spread)
                axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.set_xlabel("iteration")
        axes.set_ylabel(said)
        axes.grid(alpha=0.3)
    figure.legend(drawn.values(), drawn, fontsize="small", loc="outside right upper")
    return figure


def _by_calls(summary: Summary) -> Any:
    figure, axes = _figure(7.5, 4.8)
    budgets = summary.budgets()
    overall = {calls: means(summary.over_tasks(calls)) for calls in budgets}
    complete = {calls: summary.complete(calls) for calls in budgets}
    for method in summary.methods:
        style = _style(summary, method)
        found = [(calls, overall[calls][method]) for calls in budgets if method in complete[calls]]
        if not found:
            continue
        values = [100 * mean.mean for _, mean in found]
        halves = [_half(mean) for _, mean in found]
        # Shifted, so that no interval hides another.
        shift = _SHIFT ** (summary.methods.index(method) - len(summary.methods) / 2)
        at = [calls * shift for calls, _ in found]
        if needs_calls(method):
            axes.errorbar(at, values, halves, capsize=3, elinewidth=1, **style)
        else:
            axes.errorbar(at, values, **{**style, "linestyle": _FREE_STYLE})
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{calls:,}" for calls in budgets])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("calls of a site for tuning and choosing")
    axes.set_ylabel("accuracy, per cent, mean over tasks")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 100.5))
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")
    return figure


def _liars(attacked: Sequence[Attacked]) -> Any:
    """Draw what liars cost, by attack at the share that most attacks have, and by share."""
    by_attack: dict[str, list[Attacked]] = {}
    for each in attacked:
        by_attack.setdefault(each.attack, []).append(each)
    nobody = by_attack.pop(HONEST, [])
    shares = [each.share for some in by_attack.values() for each in some]
    common, most = max(shares, key=shares.count), max(map(len, by_attack.values()))
    figure, (left, right) = _figure(11.0, 4.6, 2)
    _lost_by_attack(left, [each for some in by_attack.values() for each in some], common)
    _by_share(right, [[*nobody, *some] for some in by_attack.values() if len(some) == most])
    return figure


def _lost_by_attack(axes: Any, attacked: Sequence[Attacked], share: float) -> None:
    shown = [each for each in attacked if each.share == share]
    means, rows = [each.mean_lost for each in shown], range(len(shown))
    halves = [_half(mean) for mean in means]
    axes.errorbar([100 * mean.mean for mean in means], rows, xerr=halves, fmt="ko", capsize=3)
    axes.axvline(0.0, color="#666666", linewidth=0.8)
    axes.set_yticks(rows, [each.attack for each in shown])
    axes.invert_yaxis()
    axes.set_xlabel(f"points lost with {100 * share:.0f} % liars")
    axes.grid(alpha=0.3)


def _by_share(axes: Any, attacks: Sequence[Sequence[Attacked]]) -> None:
    for index, some in enumerate(attacks):
        means = [mean_of(each.accuracy) for each in some]
        axes.errorbar(
            # Shifted, so that no interval hides another.
            [100 * each.share + index / 4 for each in some],
            [100 * mean.mean for mean in means],
            [_half(mean) for mean in means],
            label=some[-1].attack,
            elinewidth=0.8,
            capsize=3,
            **_line(index),
        )
    axes.set_xlabel("liars, per cent of the sites")
    axes.set_ylabel("accuracy of honest sites, per cent")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)


def _half(mean: Mean) -> float:
    """Return half of an interval in per cent, 0 without one."""
    return 0.0 if mean.high is None else 100 * (mean.high - mean.mean)


def over_iterations(points: pd.DataFrame) -> pd.Series:
    """Return a metric of one run by iteration.

    Without values for all sites together, it is the mean over the sites of each one's latest.
    """
    together = points[points["site"] == OVERALL]
    ordered = (together if len(together) else points).sort_values(
        ["iteration", "calls"], kind="stable"
    )
    by_site = ordered.pivot_table("value", "iteration", "site", aggfunc="last")
    return by_site.ffill().mean(axis=1)


def smoothed(curve: pd.Series, share: int = 20) -> pd.Series:
    """Return a moving mean over one in `share` of the points.

    Examples
    --------
    >>> smoothed(pd.Series([4.0, 2.0, 0.0, 0.0]), share=2).tolist()
    [4.0, 3.0, 1.0, 0.0]
    """
    return curve.rolling(max(1, len(curve) // share), min_periods=1).mean()


def band(curves: Sequence[pd.Series]) -> pd.DataFrame:
    """Return mean and standard deviation of curves where all of them have begun.

    A curve keeps its value until its next point, and its last value to the end.

    Examples
    --------
    >>> shown = band([pd.Series({0: 1.0, 2: 0.0}), pd.Series({0: 0.0, 1: 2.0})])
    >>> shown.index.tolist(), shown["mean"].tolist(), shown["deviation"].round(3).tolist()
    ([0, 1, 2], [0.5, 1.5, 1.0], [0.707, 0.707, 1.414])
    """
    lines = pd.concat(curves, axis=1).sort_index().ffill()
    if len(lines) > _POINTS:
        lines = lines.iloc[np.unique(np.linspace(0, len(lines) - 1, _POINTS).round().astype(int))]
    lines = lines.dropna()
    return pd.DataFrame({"mean": lines.mean(axis=1), "deviation": lines.std(axis=1).fillna(0.0)})
