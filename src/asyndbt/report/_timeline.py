"""Which site answered when: a lane per site, with staleness and absences, and the server's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from asyndbt._html import Html, duration_text, join, paragraph, section, table, tag
from asyndbt._text import counted
from asyndbt.report._chart import Axis, columns, drawing, path_of_dots, thinned, time_axis
from asyndbt.report._record import Record

Place = Callable[[float], int]
"""Maps seconds since the start to 0..1000, left to right."""

_LANES = 40
_SIZES = 4
_SPANS = 12
_REFUSED = 60
_HEIGHT = 40
_BOTTOM, _TOP = 30, 4
"""Heights in a lane: staleness 0, and the largest staleness."""


def timeline_section(record: Record) -> Html:
    if not record.steps or not record.asynchronous:
        return Html()
    x = time_axis(record.end)
    unit = record.end / x.high if record.end else 1.0

    def place(seconds: float) -> int:
        return round(1000 * x.share(seconds / unit))

    staleness = max(
        (value for name in record.sites for _, value in _staleness(record, name)), default=0
    )
    lanes = [_lane(record, name, place, max(1, staleness)) for name in record.sites[:_LANES]]
    more = len(record.sites) - _LANES
    caption = tag(
        "figcaption",
        tag("strong", "Every answer that a server step used"),
        " is a mark at the foot of its site's lane. The line above it is the site's staleness: "
        f"server steps since it was last used, at most {staleness} here. It ends when "
        "the site's budget for tuning is used up. Dotted: gone.",
    )
    figure = tag("figure", caption, _server(record, place), *lanes, _ruler(x), class_="timeline")
    return section(
        "Who answered when",
        paragraph(*_quorum(record)),
        figure,
        paragraph(f"{counted(more, 'more site')} not drawn.") if more > 0 else Html(),
        _absence_table(record),
        _refusal_table(record),
    )


def _quorum(record: Record) -> Iterator[str]:
    """Yield how many answers a server step waits for, and how many the steps used."""
    sites, start = len(record.sites), record.start
    if sites == 1:
        yield "One site: a server step follows every answer. "
    elif "quorum" in start:
        limit = record.config.get("federation", {}).get("staleness")
        yield f"The server takes a step when {start['quorum']} of {sites} sites have answered"
        if limit:
            waited = counted(limit, "server step")
            yield f", and waits for any live site that was not used for {waited}"
        yield ". "
    used = Counter(len(step["active"]) for step in record.steps)
    if len(used) > _SIZES:
        mean = sum(answers * number for answers, number in used.items()) / len(record.steps)
        yield f"A server step used {min(used)} to {max(used)} answers, {mean:.1f} on average."
    elif len(used) > 1:
        parts = [
            f"{number:,} used {counted(answers, 'answer')}"
            for answers, number in sorted(used.items())
        ]
        yield f"Of {counted(len(record.steps), 'server step')}, {', '.join(parts)}."


def _server(record: Record, place: Place) -> Html:
    """Draw the server's lane: its steps, and when the last phase began."""
    steps = [place(step["elapsed"]) for step in record.steps]
    estimates = [place(event["elapsed"]) for event in record.kind("refresh")]
    shapes = drawing(
        _HEIGHT,
        tag("path", d=_marks(steps, 18, 30), class_="tick"),
        tag("path", d=path_of_dots([(at, 8) for at in estimates]), class_="refresh"),
    )
    phases = [event for event in record.kind("phase") if event["phase"] != "done"]
    moments = [_moment(event["phase"], place(event["elapsed"])) for event in phases[-1:]]
    note = f"{counted(len(estimates), 'estimate')} of the lower level (dots)" if estimates else None
    return _row("server", join([shapes, *moments]), counted(len(steps), "server step"), note)


def _lane(record: Record, name: str, place: Place, most: int) -> Html:
    used = [place(step["elapsed"]) for step in record.steps if name in step["active"]]
    staleness = _staleness(record, name)
    line = [
        (place(second), round(_BOTTOM - (_BOTTOM - _TOP) * value / most))
        for second, value in staleness
    ]
    absences = list(_absences(record, name))
    away = [(place(begin), place(end)) for begin, end in absences]
    shapes = drawing(
        _HEIGHT,
        tag("path", d=_stairs(line, away), class_="stale") if line else Html(),
        tag("path", d=_present(away), class_="present"),
        tag("path", d="".join(f"M{a} {_BOTTOM}H{b}" for a, b in away), class_="away"),
        tag("path", d=_marks(used, 30, 38), class_="tick"),
    )
    moments = [_moment(f"gone {duration_text(begin)}", place(begin)) for begin, _ in absences[:1]]
    answers = counted(len(used), "answer")
    mean = sum(value for _, value in staleness) / max(1, len(staleness))
    label = f"{name}: {answers} used, staleness {mean:.1f} on average"
    label += "".join(f", gone at {duration_text(begin)}" for begin, _ in absences)
    return _row(name, join([shapes, *moments]), answers, None, label)


def _staleness(record: Record, name: str) -> list[tuple[float, int]]:
    """Return a site's staleness by time, as long as it had budget for tuning left."""
    last = max((step["iteration"] for step in record.steps if name in step["active"]), default=0)
    done = any(member["name"] == name and member["exhausted"] for member in record.roster)
    return [
        (step["elapsed"], step["staleness"][name])
        for step in record.steps
        if name in step["staleness"] and not (done and step["iteration"] > last)
    ]


def _moment(text: str, place: int) -> Html:
    """Label a moment, on the side that has room."""
    side = f"left:{place / 10}%" if place < 500 else f"right:{100 - place / 10}%"
    return tag("span", text, class_="moment", style=side)


def _row(name: str, shapes: Html, number: str, note: str | None, label: str = "") -> Html:
    return tag(
        "div",
        tag("span", name, class_="who"),
        tag("div", shapes, class_="track", role="img", aria_label=label or f"{name}: {number}"),
        tag("span", number, tag("small", note) if note else Html(), class_="total"),
        class_="lane",
    )


def _marks(places: list[int], top: int, bottom: int) -> str:
    return "".join(f"M{place} {top}V{bottom}" for place in dict.fromkeys(places))


def _stairs(points: list[tuple[int, int]], away: list[tuple[int, int]]) -> str:
    """Return a staircase that is interrupted while the site is away."""
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
    """Yield the start and end of each absence of a site, in seconds."""
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
        yield since, record.end


def _ruler(x: Axis) -> Html:
    return tag(
        "div",
        tag("span", class_="who"),
        tag("div", *columns(x), tag("span", x.unit, class_="unit"), class_="track"),
        tag("span", class_="total"),
        class_="lane ruler-lane",
        aria_hidden="true",
    )


def _absence_table(record: Record) -> Html:
    rows = []
    for name in record.sites:
        spans = [
            f"{duration_text(begin)} to {'the end' if end == record.end else duration_text(end)}"
            for begin, end in _absences(record, name)
        ]
        if spans:
            more = f"; and {len(spans) - _SPANS:,} more" if len(spans) > _SPANS else ""
            rows.append([name, "; ".join(spans[:_SPANS]) + more])
    return table("Sites that were gone", ["site", "from and to"], rows, texts=2) if rows else Html()


def _refusal_table(record: Record) -> Html:
    rows = [
        [duration_text(event["elapsed"]), event.get("site", ""), str(event.get("why", ""))]
        for event in record.kind("refused", "banned")
    ]
    caption = "Reports that were refused"
    if len(rows) > _REFUSED:
        caption += f" (the first {_REFUSED} of {len(rows):,})"
    return table(caption, ["time", "site", "why"], rows[:_REFUSED], texts=3) if rows else Html()
