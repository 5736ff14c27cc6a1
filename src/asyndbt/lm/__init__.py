"""Language models behind one gateway: cache, budget, ledger, feedback."""

from asyndbt.lm._base import Answer, LanguageModel, Probe, Prompt, Usage
from asyndbt.lm._budget import Budget, BudgetExhausted, Limits, split_limits
from asyndbt.lm._cache import AnswerCache, request_key
from asyndbt.lm._dispatch import RetryPolicy
from asyndbt.lm._feedback import (
    Feedback,
    Judgements,
    Loss,
    Predictions,
    check_requests,
    parse_label,
    read_answers,
)
from asyndbt.lm._gateway import Gateway, Ledger, RequestCounts
from asyndbt.lm._limiter import Limiter
from asyndbt.lm._registry import PROVIDERS, make_model
from asyndbt.lm._replay import ReplayedModel
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.lm.providers.huggingface._model import HuggingFaceLanguageModel
from asyndbt.lm.providers.openai._model import OpenAILanguageModel

__all__ = [
    "PROVIDERS",
    "Answer",
    "AnswerCache",
    "Budget",
    "BudgetExhausted",
    "Feedback",
    "Gateway",
    "HuggingFaceLanguageModel",
    "Judgements",
    "LanguageModel",
    "Ledger",
    "Limiter",
    "Limits",
    "Loss",
    "OpenAILanguageModel",
    "PocketLanguageModel",
    "Predictions",
    "Probe",
    "Prompt",
    "ReplayedModel",
    "RequestCounts",
    "RetryPolicy",
    "Usage",
    "check_requests",
    "make_model",
    "parse_label",
    "read_answers",
    "request_key",
    "split_limits",
]
