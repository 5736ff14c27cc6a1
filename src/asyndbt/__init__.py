"""Tune prompts for black-box language models across sites whose labelled data may not be pooled."""

from asyndbt._api import tune
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
from asyndbt.run import Event, Observer, Result

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
