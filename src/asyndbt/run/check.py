"""What the language model of a configuration can do: a few requests, and nothing is tuned."""

from __future__ import annotations

from dataclasses import dataclass

from asyndbt.config import Config
from asyndbt.lm import Probe
from asyndbt.run.models import Connection
from asyndbt.run.prompts import gather

__all__ = ["Checked", "check_config"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration that a run could start with.

    Parameters
    ----------
    model : str
        Identity of the language model, as answers are kept under.
    probe : Probe
        What it can do, and what finding out has cost.
    prompts : int
        Queries of all sites, all of which fit.
    sites : tuple of str
    """

    model: str
    probe: Probe
    prompts: int
    sites: tuple[str, ...]


def check_config(config: Config) -> Checked:
    """Load the data, and ask the language model a few times what it can do.

    Raises
    ------
    AsyndbtError
        Whatever would keep a run from starting, in the provider's own words where it is the
        provider that objects.
    """
    gathered = gather(config)
    connection = Connection.of(config.lm)
    connection.probe(gathered.check(connection.model), gathered.task.label_words)
    count = sum(len(site.data.queries) for site in gathered.sites.values())
    return Checked(connection.model.name, connection.found, count, tuple(gathered.sites))
