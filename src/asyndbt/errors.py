"""The errors that this package raises on purpose.

AsyndbtError
├── ConfigError          a setting is missing, unknown, or out of range
├── DataError            a file, a line, a field or a label is not usable
│   └── QueryError       a row that is to be labelled is not usable
├── MissingExtraError    an optional dependency is not installed
├── BudgetError          the budget does not pay for one step
├── MessageError         a message is malformed, of another version, or out of bounds
│   └── FrameError       a reply holds no message: the site, or the way to it, failed
├── RunDirectoryError    a run directory is missing, locked, or does not fit the command
├── SiteError            a remote site failed; the details stay in its own log
├── DeployError          the transport between sites cannot be started or reached
└── ModelError           the language model cannot be used at all
    ├── ExampleError     one request cannot be answered; others may be
    ├── RateLimitError   a request was rejected for now; it may be sent again
    └── TransientError   a request got no answer this time; it may be sent again
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
    "QueryError",
    "RateLimitError",
    "RunDirectoryError",
    "Setting",
    "SiteError",
    "TransientError",
]


class Setting(str):
    """A setting in the text of an error, by the name that it has where the error is raised.

    `asyndbt.config.toml_keys` replaces it by the key of the configuration file.
    """


class AsyndbtError(Exception):
    """Base class of all errors; its text, given in one or several parts, is for the user.

    Errors pass between processes whatever the parameters of their class: they are pickled with
    their text and attributes, and restored without its ``__init__``.

    Examples
    --------
    >>> str(DataError("line 2: too long; shorten it or raise ", Setting("max_chars")))
    'line 2: too long; shorten it or raise max_chars'
    """

    def __str__(self) -> str:
        return "".join(map(str, self.args))

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[AsyndbtError], args: tuple[object, ...], attributes: dict[str, object]
) -> AsyndbtError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class ConfigError(AsyndbtError):
    """A setting is missing, unknown, or out of range; the text names it and the remedy."""


class DataError(AsyndbtError):
    """Data cannot be used; the text names file, line or field, and the remedy."""


class QueryError(DataError):
    """A row that is to be labelled cannot be asked about; nothing was asked."""


class MissingExtraError(AsyndbtError):
    """A distribution is missing that an extra of this package installs."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'asyndbt[{extra}]'")


class BudgetError(AsyndbtError):
    """The budget does not pay for one step and the final evaluation; the text says what does."""


class MessageError(AsyndbtError):
    """A message between sites is malformed, of another version, or out of bounds."""


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
    """A remote site has failed.

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
    """The transport between sites cannot be started or reached; the text names its log."""


class ModelError(AsyndbtError):
    """The language model cannot be used at all (key, name, quota); the run stops.

    Parameters
    ----------
    message : str
        As the provider worded it.
    provider : str
    status : int or None
        HTTP status.
    """

    def __init__(self, message: str, *, provider: str, status: int | None = None) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status


class ExampleError(ModelError):
    """One request cannot be answered, and costs nothing; others may be answered."""


class RateLimitError(ModelError):
    """The provider rejected a request because there are too many; it costs nothing.

    Parameters
    ----------
    message, provider, status
        As for `ModelError`.
    retry_after : float or None
        Seconds to wait, if the provider said so.
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
    """A request got no answer this time: a fault of the provider or of the network.

    Parameters
    ----------
    message, provider, status
        As for `ModelError`.
    kind : str
        One or two words for counting, such as ``"timeout"``.
    charged : bool
        Whether the provider may charge for it: it may have answered, and the answer was lost.
    retry_after : float or None
        Seconds to wait, if the provider said so.
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
