"""Language models behind OpenAI's protocol: hosted ones, and servers on one's own machine."""

from asyndbt.lm.providers.openai._model import OpenAILanguageModel

__all__ = ["OpenAILanguageModel"]
