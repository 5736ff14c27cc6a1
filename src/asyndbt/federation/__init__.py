"""Sites, the coordinator, and what passes between them."""

from asyndbt.federation._calibration import (
    CALIBRATION_QUERIES,
    calibration_queries,
    training_queries,
)
from asyndbt.federation._checkpoint import restore, snapshot
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._early_stopping import EarlyStopping
from asyndbt.federation._judge import Judge, check_template
from asyndbt.federation._membership import Member
from asyndbt.federation._messages import (
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    Join,
    LowerDone,
    LowerRound,
    Message,
    Report,
    Score,
    Spent,
    Step,
    StepDone,
    byte_bound,
    decode,
    encode,
)
from asyndbt.federation._metrics import validation_event
from asyndbt.federation._objective import Objective, TestScores
from asyndbt.federation._plan import Plan, vocabulary_digest
from asyndbt.federation._privacy import Privacy
from asyndbt.federation._prompt_objective import PromptObjective, score_answers
from asyndbt.federation._refusals import LARGEST_LOSS
from asyndbt.federation._selection import FragmentSelection
from asyndbt.federation._site_prompts import LOOKS_SHARE, Needs, SitePrompts
from asyndbt.federation._state import unpack_state
from asyndbt.federation._worker import Worker, report_in
from asyndbt.federation.engines._base import Channel, Engine, Site
from asyndbt.federation.engines._flower import FlowerEngine
from asyndbt.federation.engines._local import LocalEngine
from asyndbt.federation.engines._virtual import Delays, VirtualEngine

__all__ = [
    "CALIBRATION_QUERIES",
    "LARGEST_LOSS",
    "LOOKS_SHARE",
    "Assignment",
    "Channel",
    "Confirm",
    "ConfirmDone",
    "Coordinator",
    "Delays",
    "EarlyStopping",
    "Engine",
    "Evaluate",
    "EvaluateDone",
    "FlowerEngine",
    "FragmentSelection",
    "Join",
    "Judge",
    "LocalEngine",
    "LowerDone",
    "LowerRound",
    "Member",
    "Message",
    "Needs",
    "Objective",
    "Plan",
    "Privacy",
    "PromptObjective",
    "Report",
    "Score",
    "Site",
    "SitePrompts",
    "Spent",
    "Step",
    "StepDone",
    "TestScores",
    "VirtualEngine",
    "Worker",
    "byte_bound",
    "calibration_queries",
    "check_template",
    "decode",
    "encode",
    "report_in",
    "restore",
    "score_answers",
    "snapshot",
    "training_queries",
    "unpack_state",
    "validation_event",
    "vocabulary_digest",
]
