"""Losses, entropies, means and spreads leave a site with two decimals, whatever carries them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_type_hints

import numpy as np
import pytest

from asyndbt.federation import Join, Report, decode
from asyndbt.federation._messages import ConfirmDone, EvaluateDone, LowerDone, StepDone
from asyndbt.federation._rounding import rounded
from asyndbt.federation.engines._base import Channel
from asyndbt.federation.engines._virtual import Delays
from asyndbt.optim import FloatArray, preset
from asyndbt.scoring import Score, Spent

ROUNDED = {
    "StepDone.loss",
    "StepDone.entropy_q",
    "StepDone.entropy_q_max",
    "StepDone.validation.correct",
    "StepDone.validation.loss",
    "StepDone.validation.spread",
    "ConfirmDone.losses",
    *(
        f"EvaluateDone.{score}.{name}"
        for score in ("plain", "random_icl", "tuned", "validation")
        for name in ("correct", "loss", "spread")
    ),
}
EXACT = {
    "StepDone.p",
    "StepDone.effects",
    "StepDone.precisions",
    "LowerDone.p",
    *(f"{kind}.spent.money" for kind in ("StepDone", "LowerDone", "ConfirmDone", "EvaluateDone")),
}
"""Policies and effects are the work itself; money follows from the tokens, which are counts."""
OUT = (Join, StepDone, LowerDone, ConfirmDone, EvaluateDone)


def declared(kind: type, place: str) -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        if hint in (Score, Spent):
            yield from declared(hint, f"{place}.{name}")
        elif hint in (float, FloatArray):
            yield f"{place}.{name}"


def numbers(record: Any, place: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{place}.{field.name}")
        elif f"{place}.{field.name}" in ROUNDED:
            yield f"{place}.{field.name}", value


def test_every_float_that_leaves_a_site_is_known() -> None:
    found = {name for kind in OUT for name in declared(kind, kind.__name__)}
    assert found == ROUNDED | EXACT


def test_rounding_leaves_policies_effects_and_money_alone() -> None:
    p = np.array([[1 / 3, 2 / 3]])
    report = StepDone(
        site="a",
        id=1,
        spent=Spent(money=0.123456),
        p=p,
        proposal=np.array([1]),
        loss=0.123456,
        answered=3,
        entropy_q=0.987654,
        entropy_q_max=1.0986,
        exhausted=False,
        validation=Score(2, 3, 0.55555, 0.11111),
        effects=p[0],
        precisions=p[0],
    )
    found = rounded(report)
    assert found.p is p
    assert found.effects is report.effects
    assert found.precisions is report.precisions
    assert found.spent == report.spent
    assert (found.loss, found.entropy_q, found.entropy_q_max) == (0.12, 0.99, 1.1)
    assert found.validation == Score(2, 3, 0.56, 0.11)
    settled = rounded(dataclasses.replace(report, entropy_q=0.00123, entropy_q_max=0.00456))
    assert (settled.entropy_q, settled.entropy_q_max) == (0.0012, 0.0046), "not yet 0"
    losses = ConfirmDone(site="a", id=1, spent=Spent(), losses=np.array([0.6931, 27.631]), n=3)
    assert rounded(losses).losses.tolist() == [0.69, 27.63]


@pytest.fixture
def sent(run_tabular: Any) -> Any:
    def run(delays: Delays | None, exchange: str = "policies") -> list[bytes]:
        out: list[bytes] = []
        channel = Channel(tap=lambda site, way, data: out.append(data) if way == "out" else None)
        settings = preset("plain", batch_size=4, refresh_every=3, exchange=exchange)
        run_tabular(
            settings=settings,
            delays=delays,
            channel=channel,
            limit=400,
            iterations=8,
            refresh="barrier",
            validate_every=2,
        )
        return out

    return run


@pytest.mark.parametrize("exchange", ["policies", "effects"])
def test_what_leaves_a_site_is_on_the_grid(sent: Any, exchange: str) -> None:
    messages = [decode(data) for data in sent(Delays(), exchange)]
    assert {type(message) for message in messages} == set(OUT)
    seen = set()
    for message in messages:
        for name, value in numbers(message, type(message).__name__):
            coarse = float(f"{value:.2g}") if "entropy" in name else np.round(value, 2)
            assert np.array_equal(value, coarse), name
            seen.add(name)
    assert seen == ROUNDED
    scored = [m.validation for m in messages if isinstance(m, StepDone) and m.validation.n]
    assert scored, "validations on the way are among them"


def test_engines_carry_the_same_bytes(sent: Any) -> None:
    assert sorted(sent(None)) == sorted(sent(Delays(kind="constant")))


def test_a_report_that_is_sent_again_is_the_same(run_tabular: Any) -> None:
    run = run_tabular(iterations=3, limit=None)
    for worker in run.sites.values():
        report = worker._report
        assert isinstance(report, Report)
        assert rounded(report) == report
