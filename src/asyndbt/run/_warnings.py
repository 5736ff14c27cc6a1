"""What the user should know before paying: where budget or data are too small for what is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from asyndbt._measure import PLURALS, Measure, words_of
from asyndbt._text import counted, listed
from asyndbt.federation import Plan
from asyndbt.scoring import Needs, SitePrompts

_USEFUL_STEPS: Final = 30
"""Local steps of a site below which hardly anything is tuned."""
_USEFUL_ROWS: Final = 10
"""Validation examples of a look below which its score is mostly chance."""
_NAMED: Final = 8
"""Most sites that a warning names with their classes."""


def setup_warnings(
    plan: Plan,
    sites: Mapping[str, SitePrompts],
    needs: Mapping[str, Needs],
    steps: int | None,
    measure: Measure,
) -> Iterator[str]:
    """Yield warnings.

    Parameters
    ----------
    plan : Plan
    sites : mapping of str to SitePrompts
    needs : mapping of str to Needs
        By site, within its budget.
    steps : int or None
        Local steps that the budget of every site surely covers; None for a method that tunes
        without requests.
    measure : {"accuracy", "mean_reward"}
    """
    yield from _missing_classes(sites)
    yield from _no_tests(sites, measure)
    yield from _few_tests(needs)
    yield from _few_validation_rows(sites, needs)
    if steps is not None:
        yield from _few_steps(plan, steps)


def privacy_notes(plan: Plan) -> Iterator[str]:
    """Say which guarantee is in force, if one is, and what it does not cover."""
    if (privacy := plan.privacy) is None:
        return
    yield (
        f"federation.privacy: what a site's messages say of its data in this run is "
        f"({privacy.epsilon:g}, {privacy.delta:g})-differentially private, epsilon and delta of "
        f"{privacy.steps + 1} noisy reports at most; not covered: when a site answers and whether "
        "it fails, what its language model's provider sees, and other runs on the same data"
    )
    if plan.hides_consensus:
        useful = privacy.useful_sites(plan.positions, plan.words)
        yield (
            f"{counted(len(plan.sites), 'site')} can tell each other hardly anything under the "
            f"noise of federation.privacy: if all agree, about {useful:,} are seen to; with fewer "
            "each tunes by itself"
        )


def _missing_classes(sites: Mapping[str, SitePrompts]) -> Iterator[str]:
    lacking = []
    for name, site in sites.items():
        present = {example.label for example in site.data.pool}
        if labels := [label for label in site.task.labels if label not in present]:
            lacking.append(f"{name} (no {listed(labels)})")
    if lacking:
        more = f" and {len(lacking) - _NAMED:,} more" if len(lacking) > _NAMED else ""
        yield (
            f"not every site has training examples of all classes: {', '.join(lacking[:_NAMED])}"
            f"{more}; such a site tunes on, and shows, examples of the classes that it has"
        )


def _no_tests(sites: Mapping[str, SitePrompts], measure: Measure) -> Iterator[str]:
    without = [name for name, site in sites.items() if not site.data.test]
    if len(without) == len(sites):
        yield (
            f"there is no test data (data.test): no {words_of(measure)} is measured at the end; "
            f"{PLURALS[measure]} on the way are of validation examples, on which prompts are "
            "chosen, and too good"
        )
    elif without:
        yield f"no test examples at {listed(without)}: no {words_of(measure)} is measured there"


def _few_tests(needs: Mapping[str, Needs]) -> Iterator[str]:
    rows = sum(need.test_rows for need in needs.values())
    given = sum(len(need.tests) for need in needs.values())
    if rows < given:
        yield (
            f"of {counted(given, 'test example')} {rows:,} will be tested, the first of every "
            "site, as many as the share budget.test_share of the budget covers: give more budget "
            "or a larger share, or lower method.random_icl_draws"
        )


def _few_validation_rows(
    sites: Mapping[str, SitePrompts], needs: Mapping[str, Needs]
) -> Iterator[str]:
    name = min(needs, key=lambda name: needs[name].validation_rows)
    rows, given = needs[name].validation_rows, len(sites[name].data.validation)
    if rows >= _USEFUL_ROWS:
        return
    where = "" if len(sites) == 1 else f" at site {name!r}"
    if rows < given:
        yield (
            f"a validation score is of {rows} of {counted(given, 'example')}{where}, and mostly "
            "chance: give more budget, or lower method.validations or method.confirm_candidates"
        )
    else:
        yield (
            f"a validation score is of {counted(rows, 'example')}{where}, and mostly chance: give "
            "more validation examples"
        )


def _few_steps(plan: Plan, steps: int) -> Iterator[str]:
    most = plan.iterations * plan.local_steps
    if min(most, steps) >= _USEFUL_STEPS:
        return
    few = f"fewer than {_USEFUL_STEPS} tune hardly anything"
    if most < steps:
        yield f"method.iterations allows {counted(most, 'local step')} of a site, and {few}"
    else:
        yield (
            f"the budget surely buys {counted(steps, 'local step')} of a site, and {few}: give "
            "more, or lower method.draws or method.batch_size"
        )
