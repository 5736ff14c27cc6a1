"""Language models by the name of their provider."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from asyndbt._plugins import find_plugins
from asyndbt._text import did_you_mean
from asyndbt.errors import ConfigError
from asyndbt.lm._base import Feedback, LanguageModel


@cache
def find_providers() -> Mapping[str, type[LanguageModel]]:
    """Return the providers of this package and of installed ones, by name.

    Raises
    ------
    ConfigError
        If an installed one cannot be loaded, or has a name that is in use.
    """
    return find_plugins("asyndbt.providers", "asyndbt.lm.providers", LanguageModel, "provider")


def make_model(provider: str, feedback: Feedback | None = None, **options: Any) -> LanguageModel:
    """Return the language model of a provider.

    Parameters
    ----------
    provider : str
        One of `find_providers`.
    feedback : {"logprobs", "votes", "text"}, optional
    **options
        Keys of the provider's `LanguageModel.Options`.

    Raises
    ------
    ConfigError
        If the provider or an option is unknown, or an option is unusable.
    MissingExtraError
        If a package that the provider needs is not installed.

    Examples
    --------
    >>> make_model("pocket", feedback="text").name.startswith("pocket/")
    True
    >>> make_model("poket")
    Traceback (most recent call last):
    asyndbt.errors.ConfigError: provider = 'poket' is unknown; did you mean 'pocket'?
    """
    known = find_providers()
    if provider not in known:
        hint = did_you_mean(provider, known) or f"; there are: {', '.join(sorted(known))}"
        raise ConfigError(f"provider = {provider!r} is unknown{hint}")
    return known[provider](feedback, **options)
