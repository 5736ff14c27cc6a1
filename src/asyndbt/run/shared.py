"""What all machines of a federation derive from their copies of one file."""

from __future__ import annotations

import hashlib
import json

from asyndbt.config import Config
from asyndbt.federation import Plan, vocabulary_digest
from asyndbt.run.words import agreed_vocabulary

__all__ = ["shared_plan", "shared_vocabulary"]


def shared_vocabulary(config: Config) -> tuple[str, ...]:
    """Return the words of the fragment; none where demonstrations alone are tuned."""
    return () if config.method.mode == "demonstrations" else agreed_vocabulary(config, ())


def shared_plan(config: Config, *, validate_every: int = 0, looks: int = 3) -> Plan:
    """Return the agreement of a run whose sites are elsewhere.

    Parameters
    ----------
    config : Config
        Of engine "flower".
    validate_every, looks : int
        What a site, which knows its budget, plans for itself; the coordinator has no use for it.
    """
    method, federation = config.method, config.federation
    names, vocabulary = tuple(federation.sites or ()), shared_vocabulary(config)
    positions = method.fragment_length if vocabulary else 0
    return Plan(
        sites=names,
        positions=positions,
        words=len(vocabulary),
        settings=method.settings(),
        vocabulary_digest=vocabulary_digest(vocabulary),
        quorum=federation.quorum_of(len(names)),
        staleness=federation.staleness,
        lease=federation.lease,
        refresh=federation.refresh,
        consensus=len(names) > 1 and positions > 0,
        local_steps=method.local_steps,
        iterations=method.iterations or 100_000,
        confirm_candidates=method.confirm_candidates,
        validate_every=validate_every,
        looks=looks,
        shared=_digest(config),
    )


def _digest(config: Config) -> str:
    """Digest of what must be the same in every copy: words by their digest, not by their path."""
    values = config.to_dict()
    agreed = {name: values[name] for name in ("task", "method", "budget")}
    agreed["method"].pop("vocabulary", None)
    agreed |= {"sites": values["federation"]["sites"], "seed": config.run.seed}
    return hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()[:16]
