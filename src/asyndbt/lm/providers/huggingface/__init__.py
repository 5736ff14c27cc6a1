"""Models of the `transformers` library on this machine as language models."""

from asyndbt.lm.providers.huggingface._batching import batches, padded
from asyndbt.lm.providers.huggingface._logits import logits_at, summed
from asyndbt.lm.providers.huggingface._model import HuggingFaceLanguageModel

__all__ = ["HuggingFaceLanguageModel", "batches", "logits_at", "padded", "summed"]
