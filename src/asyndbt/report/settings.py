"""The settings and versions of a run, without the paths of the machine it ran on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asyndbt.report.html import Html, section, table, tag
from asyndbt.report.numbers import count
from asyndbt.report.record import Record

__all__ = ["settings"]

_PATH = re.compile(r'"(?:/|[A-Za-z]:\\\\|\\\\\\\\|~)[^"]*?([^"/\\]*)"')


def settings(record: Record) -> Html:
    """Return data sizes, versions and the whole configuration."""
    return section(
        "Settings and versions",
        _examples(record),
        table("What the run was", ["what", "value"], _facts(record), texts=2),
        tag(
            "details",
            tag("summary", "The configuration, every default written out"),
            tag("pre", without_paths(record.config_text), tabindex="0", aria_label="configuration"),
        ),
    )


def without_paths(text: str) -> str:
    r"""Leave of absolute paths their last part: a report may be passed on.

    Examples
    --------
    >>> without_paths('train = "/home/me/study/train.jsonl"\nprovider = "pocket"')
    'train = "…/train.jsonl"\nprovider = "pocket"'
    """
    return _PATH.sub(r'"…/\1"', text)


def _examples(record: Record) -> Html:
    sites = record.start.get("sites")
    if not sites:
        return Html()
    parts = ("train", "validation", "test")
    rows = [
        [name, *(count(counts.get(part, 0)) for part in parts)] for name, counts in sites.items()
    ]
    return table("Examples by site", ["site", "training", "validation", "test"], rows[:40])


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    result, start = record.result or {}, record.start
    model = (record.model or result.get("model") or {}).get("model") or start.get("model")
    shape = (
        (
            f"{start['positions']} positions, {start['words']:,} words; "
            if start.get("positions")
            else ""
        )
        + (
            f"{start['slots']} slots, {start['candidates']} candidates each"
            if start.get("slots")
            else ""
        )
        if start
        else None
    )
    facts = {
        "language model": model,
        "preset": start.get("preset"),
        "tuned": {
            "both": "words and demonstrations",
            "fragment": "words",
            "demonstrations": "demonstrations",
        }.get(start.get("mode", ""), start.get("mode")),
        "sizes": shape.rstrip("; ") if shape else None,
        "seed": result.get("seed", start.get("seed")),
        **{f"version of {name}": number for name, number in result.get("versions", {}).items()},
    }
    for name, value in facts.items():
        if value is not None:
            yield name, str(value)
