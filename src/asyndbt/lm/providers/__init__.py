"""Language models: one module per provider."""

from asyndbt.lm.providers._pocket import PocketLanguageModel

__all__ = ["PocketLanguageModel"]
