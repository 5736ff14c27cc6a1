"""The public names of the package, and its Python entry point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asyndbt.baselines import resume_run
from asyndbt.config import Config, load_config
from asyndbt.errors import (
    AsyndbtError,
    BudgetError,
    ConfigError,
    DataError,
    DeployError,
    ExampleError,
    MessageError,
    MissingExtraError,
    ModelError,
    QueryError,
    RateLimitError,
    RunDirectoryError,
    SiteError,
    TransientError,
)
from asyndbt.lm import LanguageModel
from asyndbt.prompt import TunedPrompt
from asyndbt.run import Event, Observer, Result, place_rows, run_config, take_rows

__all__ = [
    "AsyndbtError",
    "BudgetError",
    "Config",
    "ConfigError",
    "DataError",
    "DeployError",
    "Event",
    "ExampleError",
    "LanguageModel",
    "MessageError",
    "MissingExtraError",
    "ModelError",
    "Observer",
    "QueryError",
    "RateLimitError",
    "Result",
    "RunDirectoryError",
    "SiteError",
    "TransientError",
    "TunedPrompt",
    "load_config",
    "resume_run",
    "tune",
]


def tune(
    config: Config | Path | str | Mapping[str, Any] | None = None,
    *,
    observers: Sequence[Observer] = (),
    model: LanguageModel | None = None,
    **tables: Mapping[str, Any],
) -> Result:
    """Tune prompts.

    Parameters
    ----------
    config : Config, path or mapping, optional
        A configuration, its TOML file, or the same tables as a mapping.
    observers : sequence of Observer
        Receive every event.
    model : LanguageModel, optional
        Replaces the one that the configuration names.
    **tables
        Instead of `config`: ``task=...``, ``data=...``, ``lm=...``, ``method=...``, ... as in the
        file. Here ``train``, ``validation`` and ``test`` of ``data`` may also be data frames of
        pandas, or iterables of rows, mappings by column; they are kept in the run's directory,
        below ``sites/``.

    Raises
    ------
    AsyndbtError
        With a message for the user.

    Examples
    --------
    >>> import tempfile
    >>> result = tune(
    ...     task={"instruction": 'How does "{text_a}" feel?',
    ...           "labels": {"positive": "great", "negative": "terrible"}},
    ...     data={"train": "pocket:sentiment-consumer/train",
    ...           "validation": "pocket:sentiment-consumer/validation",
    ...           "site_column": "site", "validation_per_class": 5},
    ...     method={"vocabulary": "pocket"},
    ...     budget={"per_site": {"calls": 300}},
    ...     run={"dir": tempfile.mkdtemp() + "/first"},
    ... )
    >>> len(result.fragment)
    6
    >>> result.prompt(result.sites[0]).render(text_a="the soup was huge").text.count("Question:")
    3
    """
    if config is not None and tables:
        raise ConfigError("give either a configuration or its tables, not both")
    if config is None or isinstance(config, Mapping):
        given, rows = take_rows(config or tables)
        config = Config.from_dict(given)
        config = place_rows(config, rows) if rows else config
    elif not isinstance(config, Config):
        config = load_config(config)
    return run_config(config, observers=observers, model=model)
