"""Language models behind one gateway: cache, budget, ledger, feedback."""

from asyndbt.lm.budget import Budget, BudgetExhausted, Limits
from asyndbt.lm.cache import AnswerCache, request_key
from asyndbt.lm.check import check_requests
from asyndbt.lm.feedback import (
    Feedback,
    Loss,
    correct,
    cross_entropy,
    is_unparsed,
    label_distribution,
    losses,
    prediction,
)
from asyndbt.lm.gateway import Gateway
from asyndbt.lm.ledger import Ledger, Tally
from asyndbt.lm.limiter import Limiter
from asyndbt.lm.parsing import parse_label
from asyndbt.lm.protocol import Answer, LanguageModel, Probe, Prompt, Usage
from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel
from asyndbt.lm.providers.openai import OpenAILanguageModel
from asyndbt.lm.providers.pocket import PocketLanguageModel
from asyndbt.lm.providers.scripted import ScriptedLanguageModel
from asyndbt.lm.registry import PROVIDERS, make_model
from asyndbt.lm.sending import Pace
from asyndbt.lm.split import split_limits

__all__ = [
    "PROVIDERS",
    "Answer",
    "AnswerCache",
    "Budget",
    "BudgetExhausted",
    "Feedback",
    "Gateway",
    "HuggingFaceLanguageModel",
    "LanguageModel",
    "Ledger",
    "Limiter",
    "Limits",
    "Loss",
    "OpenAILanguageModel",
    "Pace",
    "PocketLanguageModel",
    "Probe",
    "Prompt",
    "ScriptedLanguageModel",
    "Tally",
    "Usage",
    "check_requests",
    "correct",
    "cross_entropy",
    "is_unparsed",
    "label_distribution",
    "losses",
    "make_model",
    "parse_label",
    "prediction",
    "request_key",
    "split_limits",
]
