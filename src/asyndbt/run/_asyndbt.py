"""AsynDBT as a method: the coordinator, an engine, and a checkpoint before any work is sent.

Source: Ma et al., Scientific Reports 16:9381 (2026); departures: ``docs/method.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from asyndbt._text import counted
from asyndbt.config import Config
from asyndbt.errors import BudgetError, ConfigError, RunDirectoryError
from asyndbt.federation import Coordinator, EvaluateDone, Member, restore, snapshot
from asyndbt.federation.engines import Engine, find_engines
from asyndbt.lm import LIMITED, LanguageModel, Usage, amount_text
from asyndbt.optim import NO_WORD, FloatArray, IntArray, row_entropies
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import Observer, RunDirectory
from asyndbt.run._inputs import make_task
from asyndbt.run._result import DOUBTFUL_SHARE, Outcome, Result, write_prompt
from asyndbt.run._session import Method, Session, run_session
from asyndbt.run._setup import RunSetup
from asyndbt.run._site import RunSite
from asyndbt.run._version import package_version
from asyndbt.scoring import LOOKS_SHARE

_NEAR_UNIFORM = 0.9
"""Share of the largest entropy above which a policy has hardly moved."""
_NAMED = 8
"""Most sites that one warning names."""


def run_config(
    config: Config, *, observers: Sequence[Observer] = (), model: LanguageModel | None = None
) -> Result:
    """Tune prompts as a configuration says.

    Parameters
    ----------
    config : Config
    observers : sequence of Observer
        Are shown every event.
    model : LanguageModel, optional
        Takes the place of the one that the configuration names.

    Raises
    ------
    AsyndbtError
        With a text meant for the user; the directory can be resumed if it has a checkpoint.
    """
    directory = RunDirectory(config.run.dir)
    directory.check_unused()
    return run_session(AsynDBT(), config, directory, observers=observers, model=model)


class AsynDBT(Method):
    """The method of this package, with all sites in this process."""

    name: ClassVar[str] = "asyndbt"
    simulates_liars: ClassVar[bool] = True
    keeps_privacy: ClassVar[bool] = True

    def configure(self, config: Config) -> Config:
        """Return the configuration with the data at their sites."""
        if not config.method.centralised:
            return config
        return config.override({"method.centralised": None})

    def prepare(
        self, config: Config, directory: RunDirectory, model: LanguageModel | None
    ) -> RunSetup:
        """Load, split, check and divide.

        Raises
        ------
        ConfigError
            If the sites are on other machines.
        """
        if config.federation.engine == "flower":
            raise ConfigError(
                'federation.engine = "flower" spans machines: use the commands asyndbt run and '
                "asyndbt resume, after asyndbt coordinator start"
            )
        return super().prepare(config, directory, model)

    async def run(self, session: Session) -> Outcome:
        """Run the coordinator to its end."""
        setup = session.setup
        coordinator, saved = Coordinator(setup.plan), None
        if session.checkpoint is not None:
            coordinator, saved = restore(setup.plan, session.checkpoint)
        log = _Log(session, coordinator)
        # Once for a budget: a run that was stopped since is only resumed.
        if saved and session.extend and saved["budget"] != _budget(session.config):
            _reopen(coordinator, setup, session.config.budget.test_share)
            log.changed(session.elapsed)
        session.begin(**_about(session))
        engine = self.engine(session, coordinator)
        session.clock = engine.now
        try:
            await engine.run(log.changed)
        finally:
            session.directory.write_json("traffic.json", session.channel.traffic)
        outcome = _outcome(coordinator, setup)
        return replace(outcome, warnings=(*outcome.warnings, *_tested_again(session.directory)))

    def engine(self, session: Session, coordinator: Coordinator) -> Engine:
        """Return the engine that the configuration names, on this machine."""
        config, sites = session.config, session.setup.acting
        engine, table = find_engines()[config.federation.engine], dict(config.federation)
        return engine.of(
            coordinator, sites, session.channel, session.elapsed, table, config.run.seed
        )


def _budget(config: Config) -> dict[str, Any]:
    return config.budget.model_dump(mode="json")


def _reopen(coordinator: Coordinator, setup: RunSetup, test_share: float) -> None:
    """Tune further where the budget was used up and has grown.

    Raises
    ------
    BudgetError
        If it has not grown enough for a step.
    RunDirectoryError
        If the sites have sent all that their privacy allows.
    """
    sites = setup.sites
    if coordinator.phase != "tuning" and setup.plan.privacy is not None:
        raise RunDirectoryError(
            "federation.privacy: the sites have sent the reports that were settled before the run, "
            "and send no more: a new run may, and what it tells of a site's data adds to what this "
            "one did"
        )
    if coordinator.phase != "tuning":
        for site in sites.values():
            site.worker.reopen()
    able = [name for name, site in sites.items() if site.worker.learner.affords_step]
    if not able:
        more = [_lacking(site, test_share) for site in sites.values()]
        least = {field: max(each.get(field, 0) for each in more) for field in LIMITED}
        amounts = [amount_text(amount, field) for field, amount in least.items() if amount]
        if not amounts:
            raise BudgetError(
                "task.judge.budget is used up, and with it tuning: start a new run with a larger "
                "one, or a smaller [budget]"
            )
        raise BudgetError(
            "the new budget buys no further local step beside another comparison and test at the "
            f"end: about {' and '.join(amounts)} more for each site are enough"
        )
    if coordinator.phase != "tuning":
        for site in sites.values():
            site.save()
    coordinator.reopen(able)


def _lacking(site: RunSite, test_share: float) -> dict[str, float]:
    """Return by capped quantity how much more of the budget surely buys a local step.

    Of what is added, looks and test examples that were not covered so far take their shares.
    """
    needs = site.needs
    untested = sum(needs.tests, Usage()) - needs.evaluation
    free = 1 - LOOKS_SHARE
    more = {}
    for field, short in site.gateway.budget.lacking(needs.step).items():
        ways = [(short + getattr(untested, field)) / free]
        if test_share < free:
            ways.append(short / (free - test_share))
        more[field] = min(ways)
    return more


def _about(session: Session) -> dict[str, Any]:
    """Return the data of the event ``start``."""
    config, setup = session.config, session.setup
    plan = setup.plan
    return dict(
        sites=setup.example_counts() or {name: {} for name in plan.sites},
        quorum=plan.quorum,
        positions=plan.positions,
        words=plan.words,
        **_demonstrations(config, setup),
        limits={name: getattr(config.budget, name) for name in ("calls", "tokens", "money")},
        preset=config.method.preset,
        mode=config.method.mode,
        model=config.lm.title if setup.sites else "each site's own model",
        seed=config.run.seed,
    )


def _demonstrations(config: Config, setup: RunSetup) -> dict[str, int]:
    """Slots, and candidates of each; candidates of sites elsewhere are known to them alone.

    A site that lacks a class has fewer slots: those of the site with most are told.
    """
    shapes = [site.prompts.shape for site in setup.sites.values()]
    if shapes:
        most = max(shapes, key=lambda shape: shape.slots)
        return {"slots": most.slots, "candidates": most.candidates}
    method = config.method
    if method.mode == "fragment":
        return {"slots": 0, "candidates": 0}
    classes = len(make_task(config).classes)
    per_class = method.demonstrations_per_class or 0
    return {"slots": method.demonstrations_total or per_class * classes, "candidates": 0}


class _Log:
    """Logs what the coordinator decided, and writes checkpoints."""

    def __init__(self, session: Session, coordinator: Coordinator) -> None:
        self._session, self._coordinator = session, coordinator
        self._handed_out = -1
        self._begun: tuple[float, float] | None = None

    def changed(self, now: float) -> None:
        """Log what the coordinator decided; write a checkpoint before its work is sent."""
        session, coordinator = self._session, self._coordinator
        for notice in coordinator.notices():
            data = {key: value for key, value in notice.items() if key != "kind"}
            if notice["kind"] == "step":
                data |= self._progress(data, now)
            session.tell(notice["kind"], now, **data)
        if coordinator.next_id == self._handed_out and coordinator.phase != "done":
            return
        self._handed_out = coordinator.next_id
        if session.setup.liars is not None:
            # What they remember is kept nowhere: an interrupted run begins again.
            return
        session.directory.write_checkpoint(
            snapshot(
                coordinator,
                elapsed=now,
                events=session.directory.events_length(),
                traffic=session.channel.traffic,
                answered={name: site.worker.answered for name, site in session.setup.sites.items()},
                settings=session.config.fingerprint(),
                budget=_budget(session.config),
                version=package_version(),
            )
        )

    def _progress(self, step: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Calls so far, and seconds left until the first of the limits of tuning."""
        share = self._share()
        if self._begun is None:
            self._begun = (now, share)
        start, first = self._begun
        done = (share - first) / max(1e-9, 1 - first)
        left = (now - start) * (1 / done - 1) if done > 0 else None
        return {
            "phase": "tuning",
            "calls_total": sum(step["calls"].values()),
            "calls_limit": self._calls_limit(),
            "seconds_left": None if left is None else round(max(0.0, left), 1),
        }

    def _calls_limit(self) -> float | None:
        """Calls for tuning at most; None where sites do not say how many they have sent."""
        setup = self._session.setup
        return None if setup.plan.privacy is not None else setup.tuning_limit("calls")

    def _share(self) -> float:
        """Used share of the nearest limit: of calls, tokens, money or iterations."""
        setup, method = self._session.setup, self._session.config.method
        spent = [member.spent for member in self._coordinator.roster]
        used = {
            "calls": sum(s.calls for s in spent),
            "tokens": sum(s.tokens_in + s.tokens_out for s in spent),
            "money": sum(s.money for s in spent),
        }
        limits = {field: setup.tuning_limit(field) for field in used}
        shares = [used[field] / limit for field, limit in limits.items() if limit]
        if method.iterations is not None:
            shares.append(self._coordinator.server.iteration / method.iterations)
        return max(shares, default=0.0)


def _outcome(coordinator: Coordinator, setup: RunSetup) -> Outcome:
    # Not the names that liars have made up.
    roster = [m for m in coordinator.roster if not setup.sites or m.name in setup.sites]
    private = setup.plan.privacy is not None
    fragment = coordinator.fragment if setup.plan.positions else np.empty(0, dtype=np.int64)
    words = tuple(setup.vocabulary[index] for index in fragment if index != NO_WORD)
    return Outcome(
        evaluations={
            member.name: None if member.banned else coordinator.evaluations.get(member.name)
            for member in roster
        },
        stop_reason=coordinator.stop_reason,
        iterations=coordinator.server.iteration,
        fragment=words,
        prompts={
            name: partial(write_prompt, prompt=_prompt(site, fragment), kept=_kept_evaluation(site))
            for name, site in setup.sites.items()
        },
        spent={member.name: member.spent for member in roster},
        conduct={member.name: (member.gone, member.strikes) for member in roster},
        test_examples={} if private else {member.name: member.counts[2] for member in roster},
        warnings=(*_undecided(coordinator, setup), *_absences(coordinator, setup, roster)),
    )


def _prompt(site: RunSite, shared: IntArray) -> TunedPrompt:
    """Return the prompt that a site has chosen, else the shared fragment and its best examples."""
    prompts, worker = site.prompts, site.worker
    words = prompts.fragment(worker.fragment(shared))
    return TunedPrompt(prompts.task, words, prompts.chosen(worker.demonstrations), worker.prior)


def _kept_evaluation(site: RunSite) -> EvaluateDone | None:
    """Return the scores that only the site's own part of the record has, if there are such."""
    return None if site.worker.private is None else site.worker.evaluation


def _tested_again(directory: RunDirectory) -> Iterator[str]:
    """Say how often test examples were used, where a larger budget had the run evaluate again."""
    phases = (event["phase"] for event in directory.events() if event["kind"] == "phase")
    times = sum(phase == "evaluating" for phase in phases)
    if times > 1:
        yield (
            f"the test examples were used {times} times, since the run was given more budget after "
            "an evaluation: who went on because of what it said has chosen by them"
        )


def _undecided(coordinator: Coordinator, setup: RunSetup) -> Iterator[str]:
    """Say which policies have hardly moved: what is read out of them is chance."""
    plan = setup.plan
    if plan.positions and _is_uniform(coordinator.server.z):
        remedy = (
            "give the run more calls or larger steps"
            if plan.privacy is None
            else "the noise of federation.privacy hides what the sites agree on, and less of it "
            "with more sites or a larger epsilon"
        )
        yield (
            "the fragment policy is still close to uniform (entropy "
            f"{row_entropies(coordinator.server.z).mean():.2f} of {np.log(plan.words):.2f} nats): "
            f"the fragment is little better than chance; {remedy}"
        )
    names = [name for name, site in setup.sites.items() if _is_uniform(site.worker.learner.q)]
    if names:
        shown = ", ".join(names[:_NAMED])
        if len(names) > _NAMED:
            shown = f"{shown} and {len(names) - _NAMED} more sites"
        yield (
            f"the demonstration policy is still close to uniform at {shown}: the "
            "demonstrations there are little better than chance; give the run more calls or "
            "larger steps"
        )


def _is_uniform(policy: FloatArray) -> bool:
    if not policy.size:
        return False
    return bool(row_entropies(policy).mean() > _NEAR_UNIFORM * np.log(policy.shape[1]))


def _absences(
    coordinator: Coordinator, setup: RunSetup, members: Sequence[Member]
) -> Iterator[str]:
    for member in members:
        found, expected = coordinator.evaluations.get(member.name), member.counts[2]
        if (site := setup.sites.get(member.name)) is not None:
            expected = site.needs.test_rows
        told = found is not None and setup.plan.privacy is None
        if found is not None and told and found.tuned.n < (1 - DOUBTFUL_SHARE) * expected:
            yield (
                f"site {member.name}: of {counted(expected, 'test example')} {found.tuned.n} could "
                "be scored: the others brought no answer, or its budget covers no more"
            )
        if member.gone:
            yield f"site {member.name} was gone at the end"
        if member.strikes:
            out = ": the site was left out of everything" if member.banned else ""
            yield f"site {member.name}: {counted(member.strikes, 'refused report')}{out}"
