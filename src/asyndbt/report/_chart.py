"""Charts whose text and lines keep their size on every screen, and in print.

Curves are an SVG that is stretched to the available width, with strokes of constant width; ticks
and labels are HTML, positioned in per cent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyndbt._html import Html, join, tag, tidy
from asyndbt._measure import share_of

Points = Sequence[tuple[float, float]]

STYLES = 6
"""Number of distinguishable kinds of lines."""
_UNITS = 1000
_HEIGHT = 190
"""Of the plotting area, pixels; the labels at its side are `_LABEL` apart."""
_LABEL = 16
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale from `low` to `high`, titled `unit`; `write` formats a tick."""

    unit: str
    low: float
    high: float
    write: Callable[[float], str] = tidy

    def share(self, value: float) -> float:
        """Return the position of a value between the ends, 0..1."""
        return min(1.0, max(0.0, (value - self.low) / ((self.high - self.low) or 1.0)))


@dataclass(frozen=True, slots=True)
class Series:
    """One line, its direct label, and how it is drawn.

    Parameters
    ----------
    style : int
        Colour and dashes, below `STYLES`.
    form : {"line", "dots", "specks", "steps"}
        ``dots`` are joined by a line; ``specks`` are not, and have no label.
    """

    label: str
    points: Points
    style: int = 0
    form: str = "line"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values between two ends.

    Examples
    --------
    >>> ticks(0, 123)
    [0.0, 50.0, 100.0]
    >>> ticks(0.0, 0.7)
    [0.0, 0.2, 0.4, 0.6]
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(float(k * power) for k in (1, 2, 5, 10) if k * power >= rough * (1 - 1e-9))
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [round(float(k * step), 10) + 0.0 for k in np.arange(first, last + 1)]


def time_axis(high: float) -> Axis:
    """Return the axis of a run of `high` seconds, in a suitable unit."""
    for unit, length in (("hours", 3600.0), ("minutes", 60.0)):
        if high > 3 * length:
            return Axis(f"{unit} since the start", 0.0, high / length)
    return Axis("seconds since the start", 0.0, high or 1.0)


def chart(title: str, note: str, x: Axis, y: Axis, series: Sequence[Series]) -> Html:
    """Return a figure with a title, a note, one line chart and its text alternative."""
    series = [one for one in series if one.points]
    named = [one for one in series if one.form != "specks" and one.label]
    area = tag(
        "div",
        _grid(x, y),
        drawing(_UNITS, *(_shape(one, x, y) for one in series)),
        *_labels(named, y),
        class_="area",
        style=f"height:{_HEIGHT}px",
    )
    plot = tag(
        "div",
        tag("span", y.unit, class_="unit"),
        area,
        tag("span", x.unit, class_="unit below"),
        class_="plot",
        role="img",
        aria_label=f"{title}. {_text_alternative(named, x, y)}",
    )
    caption = tag("figcaption", tag("strong", title), " ", note)
    return tag("figure", caption, plot)


def _text_alternative(series: Sequence[Series], x: Axis, y: Axis) -> str:
    parts = [
        f"{one.label}: {y.write(one.points[0][1])} at {x.write(one.points[0][0])}, "
        f"{y.write(one.points[-1][1])} at {x.write(one.points[-1][0])}"
        for one in series
    ]
    return f"{y.unit} over {x.unit}; " + "; ".join(parts)


def _grid(x: Axis, y: Axis) -> Html:
    rows = [
        tag("span", tag("b", y.write(at)), class_="row", style=f"bottom:{100 * y.share(at):.4g}%")
        for at in ticks(y.low, y.high)
    ]
    return join([*rows, *columns(x)])


def columns(x: Axis) -> list[Html]:
    return [
        tag("span", x.write(at), class_="column", style=f"left:{100 * x.share(at):.4g}%")
        for at in ticks(x.low, x.high)
    ]


def _labels(series: Sequence[Series], y: Axis) -> list[Html]:
    """Name the lines at their ends, moved apart where they would overlap."""
    order = sorted(series, key=lambda one: -one.points[-1][1])
    tops = [(1 - y.share(one.points[-1][1])) * _HEIGHT for one in order]
    for index in range(1, len(tops)):
        tops[index] = max(tops[index], tops[index - 1] + _LABEL)
    lowest = float(_HEIGHT)
    for index in reversed(range(len(tops))):
        tops[index] = min(tops[index], lowest)
        lowest = tops[index] - _LABEL
    return [
        tag("span", one.label, class_=f"name t{one.style}", style=f"top:{top:.0f}px")
        for one, top in zip(order, tops, strict=True)
    ]


def drawing(height: int, *shapes: Html, class_: str | None = None) -> Html:
    """Return shapes in a box of 1000 by `height` that is stretched to its container."""
    return tag(
        "svg",
        *shapes,
        viewBox=f"0 0 {_UNITS} {height}",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_=class_,
    )


def _shape(one: Series, x: Axis, y: Axis) -> Html:
    points = [
        (round(_UNITS * x.share(a)), round(_UNITS * (1 - y.share(b))))
        for a, b in thinned(one.points)
    ]
    style = f"s{one.style}"
    if one.form == "specks":
        return tag("path", d=path_of_dots(points), class_="speck")
    if one.form == "steps":
        (a, b), *rest = points
        return tag("path", d=f"M{a} {b}" + "".join(f"H{a}V{b}" for a, b in rest), class_=style)
    line = tag("path", d="M" + "L".join(f"{a} {b}" for a, b in points), class_=style)
    if one.form == "line" and len(points) > 1:
        return line
    return join([line, tag("path", d=path_of_dots(points), class_=f"dot {style}")])


def thinned(points: Points) -> list[tuple[float, float]]:
    """Leave out points that no screen could show; every stretch keeps its minimum and maximum.

    Examples
    --------
    >>> len(thinned([(k, k % 7) for k in range(10_000)])) <= 2 * 400 + 2
    True
    """
    if len(points) <= 2 * _MOST_POINTS:
        return list(points)
    kept = {0, len(points) - 1}
    values = np.array([y for _, y in points])
    for block in np.array_split(np.arange(len(points)), _MOST_POINTS):
        kept |= {int(block[values[block].argmin()]), int(block[values[block].argmax()])}
    return [points[index] for index in sorted(kept)]


def path_of_dots(points: Sequence[tuple[int, int]]) -> str:
    """Return a path of lines without length, whose round ends are visible as dots."""
    return "".join(f"M{x} {y}h0" for x, y in points)


def interval_chart(kind: str, score: Mapping[str, Any]) -> Html:
    """Return a score's interval and its point (a ring, square or disc) on 0 to 100 %."""
    low, high = (round(_UNITS * end) for end in score["interval"])
    point = path_of_dots([(round(_UNITS * share_of(score)), 10)])
    return drawing(
        20,
        tag("path", d="M0 0V20M250 0V20M500 0V20M750 0V20M1000 0V20", class_="rule"),
        tag("path", d=f"M{low} 10H{high}", class_="whisker"),
        tag("path", d=point, class_=f"point {kind}"),
        tag("path", d=point, class_="hole") if kind != "tuned" else Html(),
        class_="range",
    )
