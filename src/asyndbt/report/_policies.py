"""The policies p and q as heat maps that show the words themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from asyndbt._html import Html, join, paragraph, percent_text, section, tag
from asyndbt.optim import NO_WORD, FloatArray, read_out, read_out_distinct
from asyndbt.prompt import Demonstration, Nearest
from asyndbt.report._record import Record, SitePart
from asyndbt.task import Task

_RANKS = ("most probable", "second", "third or chosen")
"""The entries of a row that are shown; the rest is summed."""
_SITES = 12
_LEAST = 0.0005


def policies_section(record: Record) -> Html:
    """Return the consensus, and the policies of the sites whose own part is recorded."""
    blocks = [*_words(record), *_demonstrations(record)]
    if not blocks:
        return Html()
    return section(
        "What was learned",
        paragraph(
            "A row is a place in the prompt, with the most probable entries first: the stronger "
            "the tint, the more probable. A check mark is on the entry in the prompt, which need "
            "not be the most probable: the prompt is the best of several on validation data, and "
            "has no word twice unless method.distinct_words is false."
        ),
        *blocks,
    )


def _words(record: Record) -> Iterator[Html]:
    """Yield the consensus open, and the sites' own policies folded."""
    names, best = record.vocabulary, record.best
    if record.z is not None:
        alone = len(record.sites) == 1
        distinct = record.config.get("method", {}).get("distinct_words", True)
        read = read_out_distinct if distinct else read_out
        chosen = best or tuple(read(record.z).tolist())
        yield tag("h3", "Words" if alone else "Words: the consensus of all sites")
        yield _heat_map("Words by position", "position", record.z, names, "word", chosen)
        if alone:
            return
    policies = {name: part.p for name, part in record.parts.items()}
    shown = [(name, p) for name, p in policies.items() if p is not None and p.size]
    for name, p in shown[:_SITES]:
        yield tag(
            "details",
            tag("summary", f"Words at {name}"),
            _heat_map(f"Words by position at {name}", "position", p, names, "word", best),
        )


def _demonstrations(record: Record) -> Iterator[Html]:
    shown = [
        (name, part, part.q)
        for name, part in record.parts.items()
        if part.q is not None and part.q.size
    ]
    if shown or record.start.get("slots"):
        yield tag("h3", "Demonstrations")
    if not shown and record.start.get("slots"):
        yield paragraph(
            "The policies over demonstrations are at the sites; this record does not have them."
        )
    for name, part, q in shown[:_SITES]:
        caption = "Candidates by slot" + (f" at {name}" if len(record.sites) > 1 else "")
        yield _heat_map(caption, "slot", q, _rules(record, q), "candidate", part.chosen)
        yield _texts(part)
    if len(shown) > _SITES:
        yield paragraph(f"{len(shown) - _SITES:,} more sites not shown.")


def _rules(record: Record, q: FloatArray) -> dict[int, str]:
    """Return the names of the candidates that are rules, the last ones of a slot."""
    similarities = record.config.get("method", {}).get("neighbours", ())
    first = q.shape[1] - len(similarities)
    return {first + place: f"nearest ({name})" for place, name in enumerate(similarities)}


def _texts(part: SitePart) -> Html:
    """Return the chosen demonstrations as in the prompt, in the order of the slots."""
    if part.prompt is None or not part.prompt.demonstrations:
        return Html()
    items = [_item(part.prompt.task, shown) for shown in part.prompt.demonstrations]
    return tag("ol", *items, class_="shots")


def _item(task: Task, shown: Demonstration) -> Html:
    text = str(shown) if isinstance(shown, Nearest) else " · ".join(shown.fields.values())
    answer = [] if shown.label is None else [tag("b", f" {task.word_of(shown.label)}")]
    return tag("li", text, *answer)


def _heat_map(
    caption: str,
    place: str,
    policy: FloatArray,
    names: Mapping[int, str],
    what: str,
    chosen: Sequence[int],
) -> Html:
    """Return a policy (rows, entries) as a table: one row per place, its entries by rank.

    An entry without a name is called `what` and its number; `chosen` may be empty.
    """
    ranks = _RANKS[: policy.shape[1]]
    order = np.argsort(-policy, axis=1, kind="stable")[:, : len(ranks)]
    rows = []
    for index, (row, ranked) in enumerate(zip(policy, order, strict=True)):
        pick = chosen[index] if index < len(chosen) and chosen[index] != NO_WORD else None
        entries = ranked.tolist()
        if pick is not None and pick not in entries:
            entries[-1] = pick
        cells = [_cell(row[k], names.get(k, f"{what} {k + 1}"), k == pick) for k in entries]
        rest = max(0.0, 1.0 - float(row[entries].sum()))
        cells.append(tag("td", percent_text(rest), class_="number rest wide"))
        rows.append(tag("tr", tag("th", f"{index + 1}", scope="row"), *cells))
    others = f"{policy.shape[1] - len(ranks):,} others"
    heads = [
        tag("th", place, scope="col"),
        *(tag("th", rank, scope="col") for rank in ranks),
        tag("th", others, scope="col", class_="number wide"),
    ]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        class_="heat",
    )


def _cell(share: float, name: str, chosen: bool) -> Html:
    shown = percent_text(share) if share >= _LEAST else f"< {percent_text(_LEAST, 2)}"
    mark = tag("b", "✓ ", aria_label="chosen: ") if chosen else Html()
    inside = join(
        [mark, tag("span", name, class_="entry"), " ", tag("span", shown, class_="share")]
    )
    return tag("td", inside, style=f"--p:{share**0.5:.3g}", class_="chosen" if chosen else None)
