"""Language models behind one gateway: cache, budget, ledger, feedback."""

from asyndbt._section import Section, key
from asyndbt.lm._answers import (
    LOG_FLOOR,
    Judgements,
    Loss,
    Predictions,
    ReadAnswers,
    RewardedAnswers,
    check_requests,
    find_loss,
    read_answers,
)
from asyndbt.lm._base import Answer, Feedback, LanguageModel, Prompt, Request, Send, Usage
from asyndbt.lm._budget import (
    LIMITED,
    Budget,
    BudgetExhausted,
    Limits,
    amount_text,
    split_limits,
)
from asyndbt.lm._cache import AnswerCache, request_key
from asyndbt.lm._calibration import CONTENT_FREE, Calibration, LabelPrior
from asyndbt.lm._dispatch import RATE_LIMIT
from asyndbt.lm._gateway import Gateway, Ledger, RequestCounts
from asyndbt.lm._label_parsing import parse_label
from asyndbt.lm._limiter import Limiter
from asyndbt.lm._registry import find_providers, make_model
from asyndbt.lm._replay import ReplayedModel
from asyndbt.lm._retries import RemoteOptions, RetryPolicy
from asyndbt.lm._thoughts import Thought
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.lm.providers.huggingface._model import HuggingFaceLanguageModel
from asyndbt.lm.providers.openai._model import OpenAILanguageModel

__all__ = [
    "CONTENT_FREE",
    "LIMITED",
    "LOG_FLOOR",
    "RATE_LIMIT",
    "Answer",
    "AnswerCache",
    "Budget",
    "BudgetExhausted",
    "Calibration",
    "Feedback",
    "Gateway",
    "HuggingFaceLanguageModel",
    "Judgements",
    "LabelPrior",
    "LanguageModel",
    "Ledger",
    "Limiter",
    "Limits",
    "Loss",
    "OpenAILanguageModel",
    "PocketLanguageModel",
    "Predictions",
    "Prompt",
    "ReadAnswers",
    "RemoteOptions",
    "ReplayedModel",
    "Request",
    "RequestCounts",
    "RetryPolicy",
    "RewardedAnswers",
    "Section",
    "Send",
    "Thought",
    "Usage",
    "amount_text",
    "check_requests",
    "find_loss",
    "find_providers",
    "key",
    "make_model",
    "parse_label",
    "read_answers",
    "request_key",
    "split_limits",
]
