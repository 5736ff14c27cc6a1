"""How tuning went: losses, looks at validation data, agreement and certainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from asyndbt.report._chart import STYLES, Axis, Series, chart
from asyndbt.report._html import Html, join, paragraph, percent, section, some, tag, tidy
from asyndbt.report._record import Record

__all__ = ["agreement", "learning_curves"]

Place = Callable[[Mapping[str, Any]], float]
Curves = dict[str, list[tuple[float, float]]]

_STEPS = "server steps"
_CALLS = "calls for tuning, all sites"
_LOSSES = {"error": "Loss by right or wrong answers", "cross_entropy": "Cross-entropy"}
_STRETCHES = 8
"""A loss is smoothed over one part in so many of a site's reports."""


def learning_curves(record: Record) -> Html:
    """Return loss and accuracy, each over server steps and over calls."""
    title = "How tuning went"
    if not record.steps:
        return section(title, *_looks(record)) if record.curve else Html()
    figures = []
    for unit, over, place in ((_STEPS, "", _iteration), (_CALLS, ", over calls", _calls)):
        x = Axis(unit, 0, place(record.steps[-1]))
        figures.append(_losses(record, x, place, over))
        figures.append(_validation(record, x, place, over))
    return section(title, _grid(figures))


def _grid(figures: Iterable[Html]) -> Html:
    return tag("div", *figures, class_="figures")


def _iteration(step: Mapping[str, Any]) -> float:
    return float(step["iteration"])


def _calls(step: Mapping[str, Any]) -> float:
    return float(step["calls_total"])


def _reported(record: Record, place: Place, take: Callable[[Any, str], float | None]) -> Curves:
    """Collect by site what its own reports brought, at the steps that used them."""
    found: Curves = {name: [] for name in record.sites}
    for step in record.steps:
        for name in step["active"]:
            value = take(step, name)
            if value is not None:
                found.setdefault(name, []).append((place(step), value))
    return {name: points for name, points in found.items() if points}


def _losses(record: Record, x: Axis, place: Place, over: str) -> Html:
    raw = _reported(record, place, lambda step, name: step["loss"].get(name))
    width = max(1, max(map(len, raw.values()), default=1) // _STRETCHES)
    values = [value for points in raw.values() for _, value in points]
    high = float(np.quantile(values, 0.95)) * 1.1 if values else 1.0
    told = record.config.get("method", {}).get("loss", "cross_entropy")
    note = f"{_LOSSES[told]} of drawn prompts on training queries"
    if len(raw) > STYLES:
        note += f" over all sites, mean of {some(width, 'server step')}."
        series = _spread(record, place, "loss", width)
    else:
        last = f"; lines: mean of its last {width}" if width > 1 else ""
        note += f". Specks: one report of a site, at the upper edge if beyond it{last}."
        series = [Series(name, points, form="specks") for name, points in raw.items()]
        series += _lines({name: _smoothed(points, width) for name, points in raw.items()})
    return chart(f"Training loss{over}", note, x, Axis("nats", 0, high or 1.0), series)


def _spread(record: Record, place: Place, key: str, width: int = 1) -> list[Series]:
    """Return mean, upper and lower tenth over what many sites have said last."""
    said = [(place(step), list(step[key].values())) for step in record.steps if step[key]]
    upper, lower = (
        [(at, float(np.quantile(values, share))) for at, values in said] for share in (0.9, 0.1)
    )
    mean = [(at, float(np.mean(values))) for at, values in said]
    return [
        Series("upper tenth", _smoothed(upper, width), 1),
        Series("mean", _smoothed(mean, width), 0),
        Series("lower tenth", _smoothed(lower, width), 2),
    ]


def _lines(found: Curves, form: str = "line") -> list[Series]:
    one = len(found) == 1
    return [
        Series("" if one and form == "dots" else name, points, style % STYLES, form)
        for style, (name, points) in enumerate(found.items())
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


def _validation(record: Record, x: Axis, place: Place, over: str) -> Html:
    def look(step: Any, name: str) -> float | None:
        found = step["validation"].get(name)
        return None if found is None else float(found["accuracy"])

    found = _reported(record, place, look)
    if not found:
        return Html()
    low = min(value for points in found.values() for _, value in points)
    y = Axis("% right", max(0.0, math.floor(10 * low - 0.5) / 10), 1.0, _whole_percent)
    note = (
        "Most probable prompt so far, on validation data. These looks are for the record: nothing "
        "is decided by them."
    )
    series = _lines(found, "dots")
    if len(found) > STYLES:
        series = [Series(name, points, form="specks") for name, points in found.items()]
    return chart(f"Validation accuracy on the way{over}", note, x, y, series)


def _whole_percent(share: float) -> str:
    return percent(share, 0)


def _looks(record: Record) -> list[Html]:
    """Return the curve of a method that takes no server steps."""
    figures = []
    for title, key, unit, write in (
        ("Training loss", "train_loss", "nats", tidy),
        ("Validation loss", "validation_loss", "nats", tidy),
        ("Validation accuracy", "validation_accuracy", "% right", _whole_percent),
    ):
        found: Curves = {}
        for look in record.curve:
            if look.get(key) is not None:
                name = look.get("site") or "all sites"
                found.setdefault(name, []).append((look["calls"], look[key]))
        if found:
            values = [value for points in found.values() for _, value in points]
            x = Axis(_CALLS, 0, max(points[-1][0] for points in found.values()))
            y = Axis(unit, 0, 1.0 if unit != "nats" else max(values) or 1.0, write)
            series = _lines(found)
            if len(found) > STYLES:
                series = [Series(name, points, form="specks") for name, points in found.items()]
            figures.append(chart(title, "", x, y, series))
    return [_grid(figures)]


def agreement(record: Record) -> Html:
    """Return consensus distance, planes and entropies over server steps."""
    steps = record.steps
    if not steps:
        return Html()
    x = Axis(_STEPS, 0, _iteration(steps[-1]))
    figures = [_word_entropy(record, x), _demonstration_entropy(record, x)]
    shared = len(record.sites) > 1 and record.positions
    if shared and not record.config.get("method", {}).get("centralised"):
        figures = [_distance(record, x), _planes(record, x), *figures]
    title = "Agreement and certainty" if shared else "Certainty"
    return section(title, _grid(figures), _refreshes(record))


def _single(record: Record, key: str) -> list[tuple[float, float]]:
    return [(_iteration(step), float(step[key])) for step in record.steps]


def _distance(record: Record, x: Axis) -> Html:
    points = _single(record, "consensus_distance")
    y = Axis("distance, L1", 0, max(value for _, value in points) * 1.05 or 1.0)
    note = "Between a site's word policy and the consensus, mean of the sites that had answered."
    return chart("How far the sites are apart", note, x, y, [Series("mean", points)])


def _planes(record: Record, x: Axis) -> Html:
    points = _single(record, "planes")
    most = max(value for _, value in points)
    if not most:
        return Html()
    y = Axis("planes", 0, most * 1.05)
    note = "Cutting planes that join the two levels; those without effect are dropped."
    return chart("Cutting planes", note, x, y, [Series("planes", points, form="steps")])


def _word_entropy(record: Record, x: Axis) -> Html:
    if not record.positions:
        return Html()
    points, top = _single(record, "entropy_p"), math.log(record.start["words"])
    note = (
        "Mean entropy of the consensus over words at a position. At the dashed line every word is "
        "as likely as any other; at 0 one is certain."
    )
    edge = Series("uniform", [(0, top), (x.high, top)], style=1)
    y = Axis("nats", 0, top * 1.05)
    return chart("How open the words are", note, x, y, [Series("words", points), edge])


def _demonstration_entropy(record: Record, x: Axis) -> Html:
    if not record.start.get("slots"):
        return Html()
    found = _reported(record, _iteration, lambda step, name: step["entropy_q"].get(name))
    top = math.log(max(2, record.start["candidates"]))
    high = max(top, max((v for points in found.values() for _, v in points), default=0.0))
    many = len(found) > STYLES
    series = _spread(record, _iteration, "entropy_q") if many else _lines(found)
    note = "Mean entropy of a site's policy over its demonstrations. The policy stays at the site."
    y = Axis("nats", 0, high * 1.05)
    return chart("How open the demonstrations are", note, x, y, series)


def _refreshes(record: Record) -> Html:
    found = record.kind("refresh")
    if not found:
        return Html()
    last = found[-1]
    planes = max(event["planes"] for event in found)
    said = [
        f"The lower level was estimated {some(len(found), 'time')}; the last time the sites stood "
        f"{tidy(last['violation'])} (L1, largest over positions) from its solution. "
    ]
    if not planes:
        tolerance = record.config.get("method", {}).get("plane_tolerance")
        said.append(
            "No cutting plane was needed"
            + (f": the tolerance is {tidy(tolerance)}." if tolerance is not None else ".")
        )
    return join([paragraph(*said)])
