"""The figures of a study, readable without colour: markers, line styles, hatches.

Figure 1 and the figures of the tasks have the form of the paper's Figure 1 and 2 to 7 (Ma et al.,
doi 10.1038/s41598-026-39582-5); accuracy against calls is not in the paper.

Curves of several runs brought onto one axis: mean and band over seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from asyndbt.errors import MissingExtraError
from asyndbt.optim import FloatArray
from asyndbt.study._cells import FREE_OF_CALLS, OURS
from asyndbt.study._frame import OVERALL, CurvePoint
from asyndbt.study._summary import Mean, Summary
from asyndbt.study._tables import short, training_time

__all__ = ["band", "draw_figures", "over_iterations", "smoothed"]

_STYLES: Final = ("-", "--", "-.", ":")
_MARKERS: Final = "osD^vP*X<>hpd8"
_COLOURS: Final = (
    "#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#666666",
)  # fmt: skip
"""Okabe and Ito's, which most people can tell apart."""
_FREE_STYLE: Final = (0, (1, 3))
_BESIDE: Final = 1.008


def draw_figures(
    summary: Summary, points: Sequence[CurvePoint], folder: Path
) -> list[tuple[str, str]]:
    """Draw every figure for which there are numbers, as SVG and as PNG.

    Returns
    -------
    list of (str, str)
        File name without suffix, and what the figure shows.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    made = []
    for name, caption, figure in _figures(summary, points):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=150)
        made.append((name, caption))
    return made


def _figures(summary: Summary, points: Sequence[CurvePoint]) -> Iterator[tuple[str, str, Any]]:
    times = training_time(summary)
    if any(pooled.mean for *_, pooled in times):
        caption = "Figure 1. Time of tuning under the delays of the study, same calls in total"
        yield "figure1", caption, _time(times)
    main = [p for p in points if p.budget == summary.calls and p.mode == summary.mode]
    for number, task in enumerate(summary.tasks, start=2):
        some = [point for point in main if point.task == task]
        if some:
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
    try:
        matplotlib, figure = import_module("matplotlib"), import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError("matplotlib", "study") from error
    # The same numbers give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "asyndbt"
    made = figure.Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(1, columns)


def _look(summary: Summary, method: str) -> dict[str, Any]:
    """Return how a method is drawn: the same in every figure."""
    index = summary.methods.index(method)
    return {
        "label": method,
        "color": _COLOURS[index % len(_COLOURS)],
        "linestyle": _STYLES[index % len(_STYLES)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linewidth": 2.2 if method in OURS else 1.2,
        "markersize": 5,
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


_PANELS: Final = (
    ("validation_accuracy", "accuracy on validation data, per cent", 100),
    ("validation_loss", "cross-entropy on validation data, nats", 1),
    ("train_loss", "training loss", 1),
)


def _progress(summary: Summary, points: Sequence[CurvePoint]) -> Any:
    figure, panels = _figure(14.5, 3.8, len(_PANELS))
    drawn: dict[str, Any] = {}
    for axes, (metric, said, factor) in zip(panels, _PANELS, strict=True):
        for method in summary.methods:
            curves = over_iterations([p for p in points if p.method == method], metric)
            some = (smoothed(c) if metric == "train_loss" else c for c in curves.values())
            x, mean, spread = band(some)
            if x.size:
                look = _look(summary, method)
                (line,) = axes.plot(x, factor * mean, markevery=max(1, x.size // 8), **look)
                drawn.setdefault(method, line)
                low = factor * np.maximum(mean - spread, 0.0)
                high = factor * (mean + spread)
                axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
        axes.set_xlabel("iteration")
        axes.set_ylabel(said)
        axes.grid(alpha=0.3)
    figure.legend(drawn.values(), drawn, fontsize="small", loc="outside right upper")
    return figure


def _by_calls(summary: Summary) -> Any:
    figure, axes = _figure(7.5, 4.8)
    budgets = summary.budgets()
    for method in summary.methods:
        look = _look(summary, method)
        complete = [calls for calls in budgets if summary.is_complete(method, calls)]
        found = [(calls, mean) for calls in complete if (mean := summary.overall(method, calls))]
        if not found:
            continue
        values = [100 * mean.mean for _, mean in found]
        halves = [0.0 if m.high is None else 100 * (m.high - m.mean) for _, m in found]
        # Side by side, so that no interval hides another.
        beside = _BESIDE ** (summary.methods.index(method) - len(summary.methods) / 2)
        at = [calls * beside for calls, _ in found]
        if method in FREE_OF_CALLS:
            axes.errorbar(at, values, **{**look, "linestyle": _FREE_STYLE})
        else:
            axes.errorbar(at, values, halves, capsize=3, elinewidth=1, **look)
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


Curve = Mapping[int, float]
_POINTS = 200


def over_iterations(points: Iterable[CurvePoint], metric: str) -> dict[int, Curve]:
    """Return by seed the values of a metric by iteration.

    Where a run has no value for all sites together, it is the mean over the sites of what each said
    last.
    """
    by_seed: dict[int, list[CurvePoint]] = {}
    for point in points:
        if point.metric == metric:
            by_seed.setdefault(point.seed, []).append(point)
    return {seed: _one(some) for seed, some in by_seed.items()}


def _one(points: Sequence[CurvePoint]) -> Curve:
    whole = [point for point in points if point.site == OVERALL]
    latest: dict[str, float] = {}
    curve: dict[int, float] = {}
    for point in sorted(whole or points, key=lambda point: (point.iteration, point.calls)):
        latest[point.site] = point.value
        curve[point.iteration] = sum(latest.values()) / len(latest)
    return curve


def smoothed(curve: Curve, share: int = 20) -> Curve:
    """Return the mean of every value and those before it, over one in `share` of the points.

    Examples
    --------
    >>> smoothed({0: 4.0, 1: 2.0, 2: 0.0, 3: 0.0}, share=2)
    {0: 4.0, 1: 3.0, 2: 1.0, 3: 0.0}
    """
    at = sorted(curve)
    width = max(1, len(at) // share)
    found = {}
    for index, iteration in enumerate(at):
        some = [curve[i] for i in at[max(0, index - width + 1) : index + 1]]
        found[iteration] = sum(some) / len(some)
    return found


def band(curves: Iterable[Curve]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return iterations, means and standard deviations of several curves.

    A curve keeps its value until its next point, and its last one to the end; before its first
    point it has none and counts in nothing.

    Returns
    -------
    tuple of arrays
        All of one length.

    Examples
    --------
    >>> x, mean, spread = band([{0: 1.0, 2: 0.0}, {0: 0.0, 1: 2.0}])
    >>> x.tolist(), mean.tolist(), spread.round(3).tolist()
    ([0.0, 1.0, 2.0], [0.5, 1.5, 1.0], [0.707, 0.707, 1.414])
    """
    some = [curve for curve in curves if curve]
    at = np.array(sorted({iteration for curve in some for iteration in curve}), dtype=np.float64)
    if at.size > _POINTS:
        at = at[np.unique(np.linspace(0, at.size - 1, _POINTS).round().astype(int))]
    if not at.size:
        return at, at, at
    at = at[at >= min(max(min(curve) for curve in some), at[-1])]
    lines = np.array([_held(curve, at) for curve in some])
    spread = lines.std(axis=0, ddof=1) if len(some) > 1 else np.zeros(at.size)
    return at, lines.mean(axis=0), spread


def _held(curve: Curve, at: FloatArray) -> FloatArray:
    known = np.array(sorted(curve), dtype=np.float64)
    values = np.array([curve[int(k)] for k in known])
    return values[np.clip(np.searchsorted(known, at, side="right") - 1, 0, None)]
