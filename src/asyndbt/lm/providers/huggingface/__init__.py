"""Local models of the `transformers` library as language models."""

from asyndbt.lm.providers.huggingface._loading import load
from asyndbt.lm.providers.huggingface._logits import batches, label_scores, logits_at, padded
from asyndbt.lm.providers.huggingface._model import HuggingFaceLanguageModel

__all__ = ["HuggingFaceLanguageModel", "batches", "label_scores", "load", "logits_at", "padded"]
