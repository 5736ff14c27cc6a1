"""The error tree: everything that this package raises on purpose.

AsyndbtError
├── ConfigError          a setting is missing, unknown, or out of range
├── DataError            a file, a line, a field or a label is not usable
├── MissingExtraError    an optional dependency is not installed
├── BudgetError          the budget does not even buy one step
├── MessageError         a message is malformed, of another version, or out of bounds
│   └── FrameError       a reply holds no message: the site, or the way to it, failed
├── RunDirectoryError    a run directory is missing, locked, or does not fit the command
├── SiteError            a site elsewhere failed; what it said stays in its own log
├── DeployError          what carries messages across sites cannot be started or reached
└── ModelError           the language model cannot be used at all
    ├── ExampleError     one request cannot be answered; others may be
    ├── RateLimitError   a request was turned away for now; it may be sent again
    └── TransientError   a request brought no answer this time; it may be sent again
"""

from __future__ import annotations

__all__ = [
    "AsyndbtError",
    "BudgetError",
    "ConfigError",
    "DataError",
    "DeployError",
    "ExampleError",
    "FrameError",
    "MessageError",
    "MissingExtraError",
    "ModelError",
    "RateLimitError",
    "RunDirectoryError",
    "SiteError",
    "TransientError",
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


class FrameError(MessageError):
    """A reply that holds no message, since the site or the way to it failed.

    Parameters
    ----------
    kind : str
        Name of the error's class, or what the carrier says.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"the site met {kind}")
        self.kind = kind


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
    """One request cannot be answered as it is, and costs nothing; others may be answered.

    Parameters
    ----------
    message, provider, status
        As for `ModelError`.
    """


class RateLimitError(ModelError):
    """The provider turned a request away because there are too many; it costs nothing.

    Parameters
    ----------
    message, provider, status
        As for `ModelError`.
    retry_after : float or None
        Seconds to wait as the provider said; None where it said nothing.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, provider=provider, status=status)
        self.retry_after = retry_after


class TransientError(ModelError):
    """A request brought no answer this time: a fault of the provider or of the way to it.

    Parameters
    ----------
    message, provider, status
        As for `ModelError`.
    kind : str
        One or two words for counting, such as ``"timeout"``.
    charged : bool
        Whether the provider may ask money for it: it may have answered, and the answer was lost.
    retry_after : float or None
        Seconds to wait as the provider said; None where it said nothing.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        kind: str,
        charged: bool,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, provider=provider, status=status)
        self.kind = kind
        self.charged = charged
        self.retry_after = retry_after
