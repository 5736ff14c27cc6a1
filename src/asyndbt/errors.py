"""The error tree: everything that this package raises on purpose.

AsyndbtError
├── ConfigError          a setting is missing, unknown, or out of range
├── DataError            a file, a line, a field or a label is not usable
├── MissingExtraError    an optional dependency is not installed
├── BudgetError          the budget does not even buy one step
├── MessageError         a message is malformed, of another version, or out of bounds
├── RunDirectoryError    a run directory is missing, locked, or does not fit the command
├── SiteError            a site elsewhere failed; what it said stays in its own log
├── DeployError          what carries messages across sites cannot be started or reached
└── ModelError           the language model cannot be used at all
    └── ExampleError     one request failed; the run goes on without that answer
"""

from __future__ import annotations

__all__ = [
    "AsyndbtError",
    "BudgetError",
    "ConfigError",
    "DataError",
    "DeployError",
    "ExampleError",
    "MessageError",
    "MissingExtraError",
    "ModelError",
    "RunDirectoryError",
    "SiteError",
]


class AsyndbtError(Exception):
    """Base class of every error raised on purpose; its text is meant for the user."""


class ConfigError(AsyndbtError):
    """A setting is missing, unknown, or out of range; the text names the field and the mend."""


class DataError(AsyndbtError):
    """Data cannot be used; the text names file, line or field, and the mend."""


class MissingExtraError(AsyndbtError):
    """An optional dependency is missing.

    Parameters
    ----------
    package : str
        The distribution that could not be imported.
    extra : str
        The extra of this package that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'asyndbt[{extra}]'")


class BudgetError(AsyndbtError):
    """The budget does not buy one step and the final evaluation; the text says what does."""


class MessageError(AsyndbtError):
    """A message that crosses a site's border is malformed, of another version, or out of bounds."""


class RunDirectoryError(AsyndbtError):
    """A run directory is missing, in use, or belongs to another configuration."""


class SiteError(AsyndbtError):
    """A site elsewhere has failed over its work.

    Parameters
    ----------
    site : str
    kind : str
        Name of the error's class; its text stays at the site, since it may quote an example.
    """

    def __init__(self, site: str, kind: str) -> None:
        super().__init__(f"site {site}: {kind}; the site's own log says more")
        self.site, self.kind = site, kind


class DeployError(AsyndbtError):
    """What carries messages across sites cannot be started or reached; the text names the log."""


class ModelError(AsyndbtError):
    """The language model cannot be used at all (key, name, quota); the run stops.

    Parameters
    ----------
    message : str
        What the provider said, in its own words.
    provider : str
        Name of the provider.
    status : int or None
        HTTP status, where there is one.
    """

    def __init__(self, message: str, *, provider: str, status: int | None = None) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status


class ExampleError(ModelError):
    """One request failed for good; it is recorded and left out, and the run goes on."""
