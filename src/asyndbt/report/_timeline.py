"""Who answered when: one lane per site, with staleness, gone and back, and one for the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from asyndbt.report._chart import Axis, thinned, ticks, time_axis
from asyndbt.report._html import Html, join, paragraph, seconds_text, section, some, table, tag
from asyndbt.report._record import Record

__all__ = ["timeline_section"]

_LANES = 40
_SIZES = 4
_SPANS = 12
_REFUSED = 60
_BOTTOM, _TOP = 30, 4
"""Heights in a lane: staleness 0, and the most that is shown."""


def timeline_section(record: Record) -> Html:
    """Return the section; nothing for a run without server steps."""
    if not record.steps:
        return Html()
    x = time_axis(record.events[-1]["elapsed"])
    unit = record.events[-1]["elapsed"] / x.high if record.events[-1]["elapsed"] else 1.0
    staleness = max(
        (value for name in record.sites for _, value in _waiting(record, name)), default=0
    )
    lanes = [_lane(record, name, x, unit, max(1, staleness)) for name in record.sites[:_LANES]]
    more = len(record.sites) - _LANES
    caption = tag(
        "figcaption",
        tag("strong", "Every answer that a server step used"),
        " is a mark at the foot of its site's lane. The line above it is the site's staleness: "
        f"server steps since it was last used, at most {staleness} here. It ends when "
        "the site's budget for tuning is used up. Dotted: gone.",
    )
    figure = tag("figure", caption, _server(record, x, unit), *lanes, _ruler(x), class_="timeline")
    return section(
        "Who answered when",
        paragraph(*_quorum(record)),
        figure,
        paragraph(f"{some(more, 'more site')} not drawn.") if more > 0 else Html(),
        _happenings(record),
    )


def _quorum(record: Record) -> Iterator[str]:
    """Say how many answers server steps waited for, and how many they used."""
    sites, start = len(record.sites), record.start
    if sites == 1:
        yield "One site: the server takes a step at every answer. "
    elif "quorum" in start:
        limit = record.config.get("federation", {}).get("staleness")
        yield f"The server takes a step when {start['quorum']} of {sites} sites have answered"
        if limit:
            yield f", and waits for any live site that was not used for {some(limit, 'step')}"
        yield ". "
    used = Counter(len(step["active"]) for step in record.steps)
    if len(used) > _SIZES:
        mean = sum(answers * number for answers, number in used.items()) / len(record.steps)
        yield f"A step used {min(used)} to {max(used)} answers, {mean:.1f} on average."
    elif len(used) > 1:
        parts = [
            f"{number:,} used {some(answers, 'answer')}" for answers, number in sorted(used.items())
        ]
        yield f"Of {some(len(record.steps), 'server step')}, {', '.join(parts)}."


def _server(record: Record, x: Axis, unit: float) -> Html:
    """Draw the server's lane: its steps, and when the phases after tuning began."""
    at = [_place(step, x, unit) for step in record.steps]
    lower = [_place(event, x, unit) for event in record.kind("refresh")]
    drawing = _drawing(
        tag("path", d=_marks(at, 18, 30), class_="tick"),
        tag("path", d="".join(f"M{place} 8h0" for place in lower), class_="refresh"),
    )
    phases = [event for event in record.kind("phase") if event["phase"] != "done"]
    names = [_moment(event["phase"], _place(event, x, unit)) for event in phases[-1:]]
    tuned = f"{some(len(at), 'step')}"
    note = f"{some(len(lower), 'estimate')} of the lower level (dots)" if lower else ""
    return _row("server", join([drawing, *names]), tuned, note or None)


def _lane(record: Record, name: str, x: Axis, unit: float, most: int) -> Html:
    """Draw one site's lane."""
    used = [step for step in record.steps if name in step["active"]]
    waiting = _waiting(record, name)
    behind = [(_place(step, x, unit), _height(value, most)) for step, value in waiting]
    absences = list(_absences(record, name))
    away = [(_at(begin, x, unit), _at(end, x, unit)) for begin, end in absences]
    drawing = _drawing(
        tag("path", d=_stale(behind, away), class_="stale") if behind else Html(),
        tag("path", d=_present(away), class_="present"),
        tag("path", d="".join(f"M{a} {_BOTTOM}H{b}" for a, b in away), class_="away"),
        tag("path", d=_marks([_place(step, x, unit) for step in used], 30, 38), class_="tick"),
    )
    first = zip(absences[:1], away[:1], strict=True)
    labels = [_moment(f"gone {seconds_text(begin)}", place) for (begin, _), (place, _) in first]
    mean = sum(value for _, value in waiting) / max(1, len(waiting))
    title = f"{name}: {some(len(used), 'answer')} used, staleness {mean:.1f} on average" + "".join(
        f", gone at {seconds_text(begin)}" for begin, _ in absences
    )
    return _row(name, join([drawing, *labels]), some(len(used), "answer"), None, title)


def _waiting(record: Record, name: str) -> list[tuple[Mapping[str, Any], int]]:
    """Return a site's staleness at every step, as long as it had budget for tuning left."""
    last = max((step["iteration"] for step in record.steps if name in step["active"]), default=0)
    done = any(member["name"] == name and member["exhausted"] for member in record.roster)
    return [
        (step, step["staleness"][name])
        for step in record.steps
        if name in step["staleness"] and not (done and step["iteration"] > last)
    ]


def _moment(text: str, place: int) -> Html:
    """Name a moment, on that side of it where there is room."""
    side = f"left:{place / 10}%" if place < 500 else f"right:{100 - place / 10}%"
    return tag("span", text, class_="moment", style=side)


def _row(name: str, drawing: Html, number: str, note: str | None, told: str = "") -> Html:
    return tag(
        "div",
        tag("span", name, class_="who"),
        tag("div", drawing, class_="track", role="img", aria_label=told or f"{name}: {number}"),
        tag("span", number, tag("small", note) if note else Html(), class_="total"),
        class_="lane",
    )


def _drawing(*shapes: Html) -> Html:
    return tag(
        "svg", *shapes, viewBox="0 0 1000 40", preserveAspectRatio="none", aria_hidden="true"
    )


def _at(second: float, x: Axis, unit: float) -> int:
    return round(1000 * x.share(second / unit))


def _place(event: Mapping[str, Any], x: Axis, unit: float) -> int:
    return _at(event["elapsed"], x, unit)


def _height(staleness: float, most: int) -> int:
    return round(_BOTTOM - (_BOTTOM - _TOP) * staleness / most)


def _marks(places: list[int], top: int, bottom: int) -> str:
    return "".join(f"M{place} {top}V{bottom}" for place in dict.fromkeys(places))


def _stale(points: list[tuple[int, int]], away: list[tuple[int, int]]) -> str:
    """Return a staircase that stops where the site is away."""
    path, before = [], None
    for place, height in thinned(points):
        gone = before is not None and any(before <= a and place >= b for a, b in away)
        if before is None or gone:
            path.append(f"M{place} {height}")
        else:
            path.append(f"H{place}V{height}")
        before = place
    return "".join(path)


def _present(away: list[tuple[int, int]]) -> str:
    ends = [0, *(end for pair in away for end in pair), 1000]
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return "".join(f"M{a} {_BOTTOM}H{b}" for a, b in pairs if b > a)


def _absences(record: Record, name: str) -> Iterator[tuple[float, float]]:
    """Return from when to when a site counted as gone, seconds."""
    since: float | None = None
    for event in record.kind("gone", "banned", "back", "joined"):
        if event.get("site") != name:
            continue
        if event["kind"] in ("gone", "banned"):
            since = event["elapsed"] if since is None else since
        elif since is not None:
            yield since, event["elapsed"]
            since = None
    if since is not None:
        yield since, record.events[-1]["elapsed"]


def _ruler(x: Axis) -> Html:
    marks = [
        tag("span", x.write(tick), class_="column", style=f"left:{100 * x.share(tick):.4g}%")
        for tick in ticks(x.low, x.high)
    ]
    return tag(
        "div",
        tag("span", class_="who"),
        tag("div", *marks, tag("span", x.unit, class_="unit"), class_="track"),
        tag("span", class_="total"),
        class_="lane ruler-lane",
        aria_hidden="true",
    )


def _happenings(record: Record) -> Html:
    """List absences by site, and what was refused."""
    rows = []
    for name in record.sites:
        spans = [
            f"{seconds_text(begin)} to {_end(record, end)}"
            for begin, end in _absences(record, name)
        ]
        if spans:
            more = f"; and {len(spans) - _SPANS:,} more" if len(spans) > _SPANS else ""
            rows.append([name, "; ".join(spans[:_SPANS]) + more])
    absences = table("Sites that were gone", ["site", "from and to"], rows, texts=2)
    refused = [
        [seconds_text(event["elapsed"]), event.get("site", ""), str(event.get("why", ""))]
        for event in record.kind("refused", "banned")
    ]
    caption = "Reports that were refused"
    if len(refused) > _REFUSED:
        caption += f" (the first {_REFUSED} of {len(refused):,})"
    reports = table(caption, ["time", "site", "why"], refused[:_REFUSED], texts=3)
    return join([absences if rows else Html(), reports if refused else Html()])


def _end(record: Record, second: float) -> str:
    return "the end" if second == record.events[-1]["elapsed"] else seconds_text(second)
