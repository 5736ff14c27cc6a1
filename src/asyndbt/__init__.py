"""Tune prompts for black-box language models across sites whose labelled data may not be pooled."""

from typing import TYPE_CHECKING

from asyndbt._lazy import names_of

if TYPE_CHECKING:
    from asyndbt._api import *  # noqa: F403
    from asyndbt._api import __all__ as __all__
else:
    # Flower starts a process for every message at a site, which needs none of it.
    __getattr__ = names_of("asyndbt._api")
