"""Sites, the coordinator, and what passes between them."""

from asyndbt.federation.coordinator import Coordinator
from asyndbt.federation.engines.base import Engine, Site, Wire
from asyndbt.federation.engines.flower import FlowerEngine
from asyndbt.federation.engines.local import LocalEngine
from asyndbt.federation.engines.virtual import Delays, VirtualEngine
from asyndbt.federation.messages import Message, Score, Spent, decode, encode
from asyndbt.federation.objective import Objective, TabularObjective, TestScores
from asyndbt.federation.plan import Plan, vocabulary_digest
from asyndbt.federation.prompt_objective import Needs, PromptObjective, SitePrompts
from asyndbt.federation.snapshot import restore, snapshot
from asyndbt.federation.worker import Worker

__all__ = [
    "Coordinator",
    "Delays",
    "Engine",
    "FlowerEngine",
    "LocalEngine",
    "Message",
    "Needs",
    "Objective",
    "Plan",
    "PromptObjective",
    "Score",
    "Site",
    "SitePrompts",
    "Spent",
    "TabularObjective",
    "TestScores",
    "VirtualEngine",
    "Wire",
    "Worker",
    "decode",
    "encode",
    "restore",
    "snapshot",
    "vocabulary_digest",
]
