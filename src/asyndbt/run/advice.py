"""What is said before a run begins: what would make it fail, what to know before paying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.federation import Needs, Plan, SitePrompts
from asyndbt.lm import LanguageModel, Limits, PocketLanguageModel

__all__ = ["USEFUL_STEPS", "affordable_steps", "check_prices", "few_steps", "unknown_words"]

USEFUL_STEPS: Final = 30
"""Steps of a site below which hardly anything is tuned."""
_UNKNOWN_WORDS: Final = 0.1


def check_prices(config: Config, model: LanguageModel) -> None:
    """A cap on money is none where nobody knows what a request costs."""
    capped = config.budget.money is not None or config.budget.per_site.money is not None
    if capped and not model.priced:
        raise ConfigError(
            "budget.money cannot be kept to: the price of the model is not known; set lm.price_in "
            "and lm.price_out, or cap calls or tokens instead"
        )


def affordable_steps(needs: Mapping[str, Needs], limits: Mapping[str, Limits]) -> Iterator[int]:
    """Return for every site the local steps that its budget surely covers."""
    for name, need in needs.items():
        yield need.steps_within(limits[name])


def few_steps(
    plan: Plan, needs: Mapping[str, Needs], limits: Mapping[str, Limits]
) -> Iterator[str]:
    """Say that the budget, or the number of iterations, is too small to tune much."""
    steps = min(plan.iterations * plan.local_steps, *affordable_steps(needs, limits))
    if steps < USEFUL_STEPS:
        yield (
            f"the budget surely buys {steps} steps of a site, and fewer than {USEFUL_STEPS} tune "
            "hardly anything: give more, or lower data.validation_per_class"
        )


def unknown_words(model: LanguageModel, sites: Mapping[str, SitePrompts]) -> Iterator[str]:
    """Say that the pocket model cannot read the texts; which words, stays at the sites."""
    if not isinstance(model, PocketLanguageModel):
        return
    share = max(model.unknown_share(_texts(site)) for site in sites.values())
    if share > _UNKNOWN_WORDS:
        of = "the words in the texts" if len(sites) == 1 else "the words in a site's texts"
        yield (
            f"pocket model: {'' if len(sites) == 1 else 'up to '}{100 * share:.0f} % of {of} are "
            "unknown to it; its answers mean little for them"
        )


def _texts(site: SitePrompts) -> Sequence[str]:
    examples = (*site.data.pool, *site.data.queries)
    return [text for example in examples for text in example.fields.values()]
