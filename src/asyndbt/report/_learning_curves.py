"""How tuning went: losses, accuracies on validation data, agreement and certainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asyndbt._html import Html, paragraph, percent_text, section, tag, tidy
from asyndbt._measure import words_of
from asyndbt._text import counted
from asyndbt.lm import find_loss
from asyndbt.report._chart import STYLES, Axis, Series, chart
from asyndbt.report._record import Record

Reports = Sequence[Mapping[str, Any]]
Curves = dict[str, list[tuple[float, float]]]

_STEPS = "server steps"
_CALLS = "calls for tuning, all sites"
_LOSSES = {
    "error": "Loss by right or wrong answers",
    "expected_error": "Loss by the probability of a wrong answer",
    "cross_entropy": "Cross-entropy",
}
_STRETCHES = 8
"""A loss is smoothed over one in so many of a site's reports."""


def learning_curves_section(record: Record) -> Html:
    """Return loss and accuracy over calls, and over server steps if there are any."""
    reports = _reports(record)
    if not reports:
        return Html()
    figures = []
    for unit, place in ((_STEPS, "iteration"), (_CALLS, "calls")):
        if place == "iteration" and not record.asynchronous:
            continue
        x = Axis(unit, 0, max(report[place] for report in reports))
        over = ", over calls" if place == "calls" and record.asynchronous else ""
        figures += [
            _training_loss(record, reports, x, place, over),
            _validation_loss(record, reports, x, place),
            _validation_accuracy(record, reports, x, place, over),
        ]
    return section("How tuning went", tag("div", *figures, class_="figures"))


def _reports(record: Record) -> list[dict[str, Any]]:
    """Return the reports of the sites, site by site: one per step and active site."""
    return [
        {
            "site": name,
            "iteration": step["iteration"],
            "calls": step["calls_total"],
            "train_loss": step["loss"].get(name),
            "validation_accuracy": (step["validation"].get(name) or {}).get("accuracy"),
            "validation_loss": (step["validation"].get(name) or {}).get("loss"),
            "validation_n": (step["validation"].get(name) or {}).get("n"),
            "entropy_q": step["entropy_q"].get(name),
        }
        for name in record.sites
        for step in record.steps
        if name in step["active"]
    ]


def _curves(reports: Reports, place: str, key: str) -> Curves:
    """Return the curve of one quantity by site."""
    found: Curves = {}
    for report in reports:
        if report.get(key) is not None:
            found.setdefault(report["site"], []).append((report[place], report[key]))
    return found


def _values(curves: Curves) -> list[float]:
    return [value for points in curves.values() for _, value in points]


def _training_loss(record: Record, reports: Reports, x: Axis, place: str, over: str) -> Html:
    curves = _curves(reports, place, "train_loss")
    if not curves:
        return Html()
    width = max(1, max(map(len, curves.values())) // _STRETCHES)
    high = float(np.quantile(_values(curves), 0.95)) * 1.1
    loss, unit = _loss(record)
    note = f"{loss} of drawn prompts on training queries"
    if len(curves) > STYLES:
        note += f" over all sites, mean of {counted(width, 'server step')}."
        series = _spread(reports, place, "train_loss", width)
    else:
        lines = f"; lines: mean of its last {width}" if width > 1 else ""
        note += f". Specks: one report of a site, at the upper edge if beyond it{lines}."
        smoothed = {name: _smoothed(points, width) for name, points in curves.items()}
        series = [*_specks(curves), *_lines(smoothed)]
    return chart(f"Training loss{over}", note, x, Axis(unit, 0, high or 1.0), series)


def _loss(record: Record) -> tuple[str, str]:
    """Return what tuning minimises, and the unit of all losses."""
    if record.measure == "mean_reward":
        return "1 minus the reward", "1 - reward"
    if "costs" in record.config.get("task", {}):
        return "Cost of answers", "cost"
    given = record.config.get("method", {}).get("loss", "cross_entropy")
    return _LOSSES[find_loss(given, record.config.get("lm", {}).get("calibration", "none"))], "nats"


def _spread(reports: Reports, place: str, key: str, width: int = 1) -> list[Series]:
    """Return the mean and the upper and lower tenth of the latest values of many sites."""
    latest: dict[str, float] = {}
    values: dict[float, list[float]] = {}
    for report in sorted(reports, key=lambda report: float(report[place])):
        if report.get(key) is not None:
            latest[report["site"]] = report[key]
        if latest:
            values[report[place]] = list(latest.values())
    upper, mean, lower = (
        _smoothed([(at, float(take(found))) for at, found in values.items()], width)
        for take in (lambda v: np.quantile(v, 0.9), np.mean, lambda v: np.quantile(v, 0.1))
    )
    return [
        Series("upper tenth", upper, 1),
        Series("mean", mean, 0),
        Series("lower tenth", lower, 2),
    ]


def _specks(curves: Curves) -> list[Series]:
    return [Series(name, points, form="specks") for name, points in curves.items()]


def _lines(curves: Curves, form: str = "line") -> list[Series]:
    """Return a line per site, unless there are too many to distinguish."""
    if len(curves) > STYLES:
        return _specks(curves)
    alone = len(curves) == 1 and form == "dots"
    return [
        Series("" if alone else name, points, style, form)
        for style, (name, points) in enumerate(curves.items())
    ]


def _smoothed(points: Sequence[tuple[float, float]], width: int) -> list[tuple[float, float]]:
    """Replace each value by the mean of the last `width` ones.

    Examples
    --------
    >>> _smoothed([(1, 4.0), (2, 2.0), (3, 0.0)], 2)
    [(1, 4.0), (2, 3.0), (3, 1.0)]
    """
    sums = np.concatenate([[0.0], np.cumsum([value for _, value in points])])
    return [
        (place, float(sums[end] - sums[max(0, end - width)]) / min(end, width))
        for end, (place, _) in enumerate(points, start=1)
    ]


def _validation_loss(record: Record, reports: Reports, x: Axis, place: str) -> Html:
    curves = _curves(reports, place, "validation_loss")
    if not curves:
        return Html()
    y = Axis(_loss(record)[1], 0, max(_values(curves)) or 1.0)
    return chart("Validation loss", "", x, y, _lines(curves))


def _validation_accuracy(record: Record, reports: Reports, x: Axis, place: str, over: str) -> Html:
    curves = _curves(reports, place, "validation_accuracy")
    if not curves:
        return Html()
    low = max(0.0, math.floor(10 * min(_values(curves)) - 0.5) / 10)
    title = words_of(record.measure)
    unit = "% right" if record.measure == "accuracy" else f"{title}, %"
    y = Axis(unit, low, 1.0, lambda share: percent_text(share, 0))
    of = _validation_examples(reports)
    note = f"Of {of}."
    if record.asynchronous:
        use = "for the record only, no decision uses it"
        if patience := record.config.get("method", {}).get("patience"):
            looks = counted(patience, "look")
            use = f"tuning ends after {looks} without a lower loss (method.patience)"
        note = f"Most probable prompt so far, of {of}: {use}."
    return chart(f"Validation {title} on the way{over}", note, x, y, _lines(curves, "dots"))


def _validation_examples(reports: Reports) -> str:
    """Return how many examples the scores on validation data are of."""
    counts = [report["validation_n"] for report in reports if report["validation_n"]]
    if not counts:
        return "validation data"
    most = counted(max(counts), "validation example")
    return most if min(counts) == max(counts) else f"{min(counts):,} to {most}"


def agreement_section(record: Record) -> Html:
    """Return consensus distance, planes and entropies over server steps."""
    steps = record.steps
    if not steps or not record.asynchronous:
        return Html()
    x = Axis(_STEPS, 0, steps[-1]["iteration"])
    figures = [_word_entropy(record, x), _demonstration_entropy(record, x)]
    shared = len(record.sites) > 1 and record.positions
    if shared and not record.config.get("method", {}).get("centralised"):
        figures = [_distance(record, x), _planes(record, x), *figures]
    title = "Agreement and certainty" if shared else "Certainty"
    return section(title, tag("div", *figures, class_="figures"), _lower_level(record))


def _of_steps(record: Record, key: str) -> list[tuple[float, float]]:
    return [(step["iteration"], float(step[key])) for step in record.steps]


def _distance(record: Record, x: Axis) -> Html:
    points = _of_steps(record, "consensus_distance")
    y = Axis("distance, L1", 0, max(value for _, value in points) * 1.05 or 1.0)
    note = "Between a site's word policy and the consensus, mean of the sites that had answered."
    return chart("How far the sites are apart", note, x, y, [Series("mean", points)])


def _planes(record: Record, x: Axis) -> Html:
    points = _of_steps(record, "planes")
    most = max(value for _, value in points)
    if not most:
        return Html()
    y = Axis("planes", 0, most * 1.05)
    note = "Cutting planes that join the two levels; those without effect are dropped."
    return chart("Cutting planes", note, x, y, [Series("planes", points, form="steps")])


def _word_entropy(record: Record, x: Axis) -> Html:
    if not record.positions:
        return Html()
    points, top = _of_steps(record, "entropy_p"), math.log(record.start["words"])
    note = (
        "Mean entropy of the consensus over words at a position. At the dashed line every word is "
        "as likely as any other; at 0 one is certain."
    )
    uniform = Series("uniform", [(0, top), (x.high, top)], style=1)
    y = Axis("nats", 0, top * 1.05)
    return chart("How open the words are", note, x, y, [Series("words", points), uniform])


def _demonstration_entropy(record: Record, x: Axis) -> Html:
    if not record.start.get("slots"):
        return Html()
    reports = _reports(record)
    curves = _curves(reports, "iteration", "entropy_q")
    high = max(math.log(max(2, record.start["candidates"])), *_values(curves), 0.0)
    many = len(curves) > STYLES
    series = _spread(reports, "iteration", "entropy_q") if many else _lines(curves)
    note = "Mean entropy of a site's policy over its demonstrations. The policy stays at the site."
    y = Axis("nats", 0, high * 1.05)
    return chart("How open the demonstrations are", note, x, y, series)


def _lower_level(record: Record) -> Html:
    estimates = record.kind("refresh")
    if not estimates:
        return Html()
    text = (
        f"The lower level was estimated {counted(len(estimates), 'time')}; at the last, the sites "
        f"were {tidy(estimates[-1]['violation'])} (L1, largest over positions) from its solution. "
    )
    if not any(event["planes"] for event in estimates):
        tolerance = record.config.get("method", {}).get("plane_tolerance")
        text += "No cutting plane was needed"
        text += f": the tolerance is {tidy(tolerance)}." if tolerance is not None else "."
    return paragraph(text)
