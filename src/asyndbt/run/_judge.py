"""The judge of a run: a second language model with a budget, a cache and a ledger of its own."""

from __future__ import annotations

from asyndbt.config import Config, LMConfig, toml_keys
from asyndbt.errors import BudgetError, ConfigError
from asyndbt.lm import AnswerCache, Budget, Gateway
from asyndbt.run._directory import RunDirectory
from asyndbt.run._inputs import RunInputs
from asyndbt.run._model_handle import ModelHandle
from asyndbt.scoring import Judge, Needs, SitePrompts, check_template

_FILE = "judge.json"
_ANSWER_TOKENS = 256
"""Most tokens of an answer where the model's settings do not say."""


@toml_keys()
def check_judge(config: Config, inputs: RunInputs) -> None:
    """Check what can be told of a judge without a request.

    Raises
    ------
    ConfigError
        If its prompt cannot be filled, or money is capped and its price is not known.
    """
    section = config.task.judge
    if section is None:
        return
    check_template(section.prompt, inputs.task)
    if section.budget.money is not None and not ModelHandle.of(section.model).model.has_prices:
        raise ConfigError(
            "task.judge.budget.money cannot be kept to: the price of the judge is not known; set "
            "price_in and price_out in task.judge.lm, or cap calls or tokens instead"
        )


def prepare_judge(config: Config, inputs: RunInputs, directory: RunDirectory) -> ModelHandle | None:
    """Return the judge after its probe, which a run sends once; None if the task has none.

    Raises
    ------
    ConfigError, BudgetError, ModelError
        If it cannot be made or asked.
    """
    section = config.task.judge
    if section is None:
        return None
    if (known := _known(section.model, directory)) is not None:
        return known
    handle = ModelHandle.of(section.model)
    with directory.probe_cache("judge") as cache:
        asking = Judge(
            Gateway(handle.model, cache, Budget(section.budget.limits), handle.policy),
            section.prompt,
            section.scale,
            inputs.task,
        )
        examples = [example for site in inputs.sites.values() for example in site.data.queries[:1]]
        prompts = [asking.prompt(example, example.label) for example in examples]
        handle.model.check(prompts, ())
        handle.detect_capabilities(prompts, (), cache, section.budget.limits)
    directory.write_json(_FILE, handle.record())
    return handle


def _known(lm: LMConfig, directory: RunDirectory) -> ModelHandle | None:
    """Return the judge as recorded for this run; None if it is another, or there is no record."""
    record = directory.read_json(_FILE)
    if record is None:
        return None
    handle = ModelHandle.of(lm)
    handle.restore_capabilities(record)
    return handle if handle.model.name == record["model"] else None


def site_judge(
    config: Config,
    handle: ModelHandle | None,
    prompts: SitePrompts,
    directory: RunDirectory,
    needs: Needs,
    *,
    sites: int,
    here: int,
) -> Judge | None:
    """Return a site's judge, with an equal share of its budget less what the probe has cost.

    None without a `handle`. Of the run's `sites` those `here` have a probe together; one that is on
    a machine of its own pays all of its own.

    Raises
    ------
    BudgetError
        If the share does not cover the judgements of the evaluation, of the looks and of a step.
    """
    section, name = config.task.judge, prompts.data.name
    if section is None or handle is None:
        return None
    limits, probe = section.budget.limits, handle.ledger.spent
    together = here == sites
    limits = limits.after(probe).divided(sites) if together else limits.divided(sites).after(probe)
    cache = AnswerCache(directory.site(name) / "judgements.sqlite", name)
    gateway = Gateway(handle.model, cache, Budget(limits), handle.policy)
    judge = Judge(gateway, section.prompt, section.scale, prompts.task)
    most = getattr(config.lm.options, "max_tokens", None) or _ANSWER_TOKENS
    judge.expect(prompts.data.queries, most)
    least = needs.evaluation.calls + needs.looks + needs.step_prompts
    # Of the whole share, as at the beginning: what was lost since ends no resumed run.
    if not Budget(limits).affords(judge.max_usage(least)):
        cache.close()
        raise BudgetError(
            f"task.judge.budget: site {name!r} needs up to {least:,} judgements, for its "
            "evaluation, its looks and a step, and its share covers fewer; raise it, or lower "
            "[budget]"
        )
    return judge
