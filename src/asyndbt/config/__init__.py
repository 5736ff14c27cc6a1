"""Configuration: one TOML file, checked once before any request, every problem named in a line."""

from __future__ import annotations

from asyndbt.config.config import Config, load_config
from asyndbt.config.data import DataConfig, PartitionConfig, SiteConfig, TaskConfig
from asyndbt.config.federation import DelaysConfig, FederationConfig
from asyndbt.config.flower import FlowerConfig, is_loopback, split_address
from asyndbt.config.lm import LMConfig
from asyndbt.config.method import MethodConfig
from asyndbt.config.resources import BudgetConfig, LimitsConfig, RunConfig
from asyndbt.config.site_file import LinkConfig, SiteFile, load_site_file

__all__ = [
    "BudgetConfig",
    "Config",
    "DataConfig",
    "DelaysConfig",
    "FederationConfig",
    "FlowerConfig",
    "LMConfig",
    "LimitsConfig",
    "LinkConfig",
    "MethodConfig",
    "PartitionConfig",
    "RunConfig",
    "SiteConfig",
    "SiteFile",
    "TaskConfig",
    "is_loopback",
    "load_config",
    "load_site_file",
    "split_address",
]
