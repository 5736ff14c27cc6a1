"""Sites, the coordinator, and what passes between them."""

from asyndbt.federation._checkpoint import restore, snapshot
from asyndbt.federation._coordinator import Coordinator
from asyndbt.federation._early_stopping import EarlyStopping
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
    Step,
    StepDone,
    byte_bound,
    decode,
    encode,
)
from asyndbt.federation._metrics import validation_event
from asyndbt.federation._plan import Plan, vocabulary_digest
from asyndbt.federation._privacy import Privacy
from asyndbt.federation._refusals import LARGEST_LOSS
from asyndbt.federation._selection import FragmentSelection
from asyndbt.federation._state import unpack_state
from asyndbt.federation._worker import Worker, report_in
from asyndbt.federation.engines._base import Channel, Engine, Site
from asyndbt.federation.engines._flower import FlowerEngine
from asyndbt.federation.engines._local import LocalEngine
from asyndbt.federation.engines._virtual import Delays, VirtualEngine

__all__ = [
    "LARGEST_LOSS",
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
    "LocalEngine",
    "LowerDone",
    "LowerRound",
    "Member",
    "Message",
    "Plan",
    "Privacy",
    "Report",
    "Site",
    "Step",
    "StepDone",
    "VirtualEngine",
    "Worker",
    "byte_bound",
    "decode",
    "encode",
    "report_in",
    "restore",
    "snapshot",
    "unpack_state",
    "validation_event",
    "vocabulary_digest",
]
