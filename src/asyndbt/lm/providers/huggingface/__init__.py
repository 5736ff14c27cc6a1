"""Models of the `transformers` library on this machine as language models."""

from asyndbt.lm.providers.huggingface.model import HuggingFaceLanguageModel

__all__ = ["HuggingFaceLanguageModel"]
