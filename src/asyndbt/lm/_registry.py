"""From the name of a provider to a language model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from asyndbt.errors import ConfigError
from asyndbt.lm._base import LanguageModel

__all__ = ["PROVIDERS", "make_model"]

PROVIDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pocket": "asyndbt.lm.providers._pocket.PocketLanguageModel",
        "openai": "asyndbt.lm.providers.openai.OpenAILanguageModel",
        "huggingface": "asyndbt.lm.providers.huggingface.HuggingFaceLanguageModel",
    }
)
"""What `make_model` can make: the class by the provider's name, imported when it is asked for."""


def make_model(provider: str, **options: Any) -> LanguageModel:
    """Return the language model of a provider.

    Parameters
    ----------
    provider : {"pocket", "openai", "huggingface"}
    **options
        Parameters of the provider's class.

    Raises
    ------
    ConfigError
        If there is no such provider, or it has no such option, or an option is not usable.
    MissingExtraError
        If what the provider needs is not installed.

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
    module, _, name = PROVIDERS[provider].rpartition(".")
    make: Callable[..., LanguageModel] = getattr(import_module(module), name)
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
