"""Configuration: one TOML file, checked once before any request, every problem named in a line."""

from __future__ import annotations

from asyndbt.config.config import Config, load_config
from asyndbt.config.data import DataConfig, PartitionConfig, SiteConfig, TaskConfig
from asyndbt.config.federation import DelaysConfig, FederationConfig
from asyndbt.config.lm import LMConfig
from asyndbt.config.method import MethodConfig
from asyndbt.config.resources import BudgetConfig, LimitsConfig, RunConfig

__all__ = [
    "BudgetConfig",
    "Config",
    "DataConfig",
    "DelaysConfig",
    "FederationConfig",
    "LMConfig",
    "LimitsConfig",
    "MethodConfig",
    "PartitionConfig",
    "RunConfig",
    "SiteConfig",
    "TaskConfig",
    "load_config",
]
