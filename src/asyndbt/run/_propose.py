"""Hints of one site outside a run, for a person to read before they leave it."""

from __future__ import annotations

from uuid import uuid4

from asyndbt._async import run_sync
from asyndbt._text import listed
from asyndbt.config import Config, toml_keys
from asyndbt.errors import BudgetError, ConfigError, DataError
from asyndbt.lm import AnswerCache, Budget, Gateway, amount_text
from asyndbt.run._inputs import RunInputs, load_inputs
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._site_hints import SiteHints, ask_site, hints_bound


@toml_keys()
def propose_hints(config: Config, site: str | None = None) -> SiteHints:
    """Ask the model of a site for hints, as a run with ``vocabulary = "propose"`` does.

    Parameters
    ----------
    config : Config
        Its vocabulary is of no account; its budget, and that of each site, are not exceeded.
    site : str, optional
        May be left out if there is only one.

    Returns
    -------
    SiteHints
        Those that repeat no text of the site; what was spent includes the probe of the model.

    Raises
    ------
    ConfigError, DataError, BudgetError, ModelError
        With the remedy.
    """
    if config.federation.engine == "flower":
        raise ConfigError(
            'federation.engine = "flower" spans machines: give the site\'s own file, site.toml'
        )
    config = config.override({"method.vocabulary": "propose"})
    inputs = load_inputs(config, complete=False)
    prompts = inputs.sites[_chosen(inputs, site)]
    handle = ModelHandle.of(config.lm)
    examples = inputs.check(handle.model)
    budget = Budget(config.budget.limits.least(config.budget.per_site.limits))
    if lacking := budget.lacking(hints_bound(config, prompts, handle.model)):
        more = " and ".join(amount_text(amount, field) for field, amount in lacking.items())
        raise BudgetError(f"[budget]: hints need up to {more} more; or lower proposal_rounds")

    async def ask() -> SiteHints:
        try:
            return await ask_site(config, prompts, gateway)
        finally:
            await handle.model.close()

    with AnswerCache(config.lm.cache or ":memory:", uuid4().hex) as cache:
        words = inputs.task.label_words
        handle.detect_capabilities(examples, words, cache, budget.limits)
        gateway = Gateway(handle.model, cache, budget, handle.policy)
        found = run_sync(ask())
    if not found.hints:
        raise DataError(
            f"{handle.model.name} wrote {found.copied} hints, and all of them repeat texts of the "
            "site: raise method.proposals, or choose a model that follows instructions better"
        )
    return found


def _chosen(inputs: RunInputs, site: str | None) -> str:
    names = list(inputs.sites)
    if site is None and len(names) == 1:
        return names[0]
    if site not in names:
        said = "name a site" if site is None else f"there is no site {site!r}"
        raise ConfigError(f"{said}; the data have: {listed(names)}")
    return site
