"""Configuration: one TOML file, checked once before any request, every problem named in a line."""

from asyndbt.config._base import Directory, LimitsConfig, resolved
from asyndbt.config._config import BudgetConfig, Config, RunConfig, load_config
from asyndbt.config._data import DataConfig, PartitionConfig, SiteConfig, TaskConfig
from asyndbt.config._explain import explain_errors, toml_keys
from asyndbt.config._federation import (
    FederationConfig,
    FlowerConfig,
    PrivacyConfig,
    is_loopback,
    split_address,
)
from asyndbt.config._liars import LiarsConfig
from asyndbt.config._lm import LMConfig
from asyndbt.config._method import MethodConfig
from asyndbt.config._schema import starter_toml
from asyndbt.config._site_file import LinkConfig, SiteFile, is_site_file, load_site_file
from asyndbt.config._toml import format_table, read_toml

__all__ = [
    "BudgetConfig",
    "Config",
    "DataConfig",
    "Directory",
    "FederationConfig",
    "FlowerConfig",
    "LMConfig",
    "LiarsConfig",
    "LimitsConfig",
    "LinkConfig",
    "MethodConfig",
    "PartitionConfig",
    "PrivacyConfig",
    "RunConfig",
    "SiteConfig",
    "SiteFile",
    "TaskConfig",
    "explain_errors",
    "format_table",
    "is_loopback",
    "is_site_file",
    "load_config",
    "load_site_file",
    "read_toml",
    "resolved",
    "split_address",
    "starter_toml",
    "toml_keys",
]
