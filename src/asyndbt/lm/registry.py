"""From the name of a provider to a language model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from asyndbt.errors import ConfigError
from asyndbt.lm.protocol import LanguageModel
from asyndbt.lm.providers.pocket import PocketLanguageModel

__all__ = ["PROVIDERS", "make_model"]

PROVIDERS: Final[Mapping[str, Callable[..., LanguageModel]]] = MappingProxyType(
    {"pocket": PocketLanguageModel}
)
"""What `make_model` can make, by name."""


def make_model(provider: str, **options: Any) -> LanguageModel:
    """Return the language model of a provider.

    Parameters
    ----------
    provider : {"pocket"}
    **options
        Parameters of the provider's class: for ``pocket`` its `feedback`.

    Raises
    ------
    ConfigError
        If there is no such provider, or it has no such option.

    Examples
    --------
    >>> make_model("pocket", feedback="text").name.startswith("pocket/")
    True
    >>> make_model("poket")
    Traceback (most recent call last):
    asyndbt.errors.ConfigError: provider = 'poket' is unknown; did you mean 'pocket'?
    """
    if provider not in PROVIDERS:
        raise ConfigError(f"provider = {provider!r} is unknown{_hint(provider, PROVIDERS)}")
    make = PROVIDERS[provider]
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise ConfigError(
                f"provider {provider!r} has no option {option!r}{_hint(option, known)}"
            )
    return make(**options)


def _hint(given: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(given.lower(), names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}"
