"""Runs: from a configuration to a directory with the result."""

from asyndbt.run._asyndbt import AsynDBT, run_config
from asyndbt.run._check import RunCheck, check_run
from asyndbt.run._directory import (
    CurveMoment,
    Event,
    Observer,
    RunDirectory,
    curve_of_events,
    read_curve,
    read_record,
    to_json,
    write_atomically,
)
from asyndbt.run._estimate import Cost, Estimate, can_begin, estimate_run
from asyndbt.run._halves import HALVES, score_halves
from asyndbt.run._inputs import load_inputs, load_site_data, make_task, place_rows, take_rows
from asyndbt.run._liars import recorded_liars
from asyndbt.run._observers import Observers
from asyndbt.run._predictor import Predictor
from asyndbt.run._propose import propose_hints
from asyndbt.run._remote_site import RemoteSite, open_site
from asyndbt.run._result import Outcome, Result, write_prompt
from asyndbt.run._session import METHOD_FILE, Method, Session, run_session
from asyndbt.run._setup import (
    RunSetup,
    prepare_run,
    shared_plan,
    shared_vocabulary,
)
from asyndbt.run._site import RunSite
from asyndbt.run._states import saved_states
from asyndbt.run._warnings import privacy_notes
from asyndbt.run._wrong_answers import SiteErrors, WrongAnswer, wrong_answers

__all__ = [
    "HALVES",
    "METHOD_FILE",
    "AsynDBT",
    "Cost",
    "CurveMoment",
    "Estimate",
    "Event",
    "Method",
    "Observer",
    "Observers",
    "Outcome",
    "Predictor",
    "RemoteSite",
    "Result",
    "RunCheck",
    "RunDirectory",
    "RunSetup",
    "RunSite",
    "Session",
    "SiteErrors",
    "WrongAnswer",
    "can_begin",
    "check_run",
    "curve_of_events",
    "estimate_run",
    "load_inputs",
    "load_site_data",
    "make_task",
    "open_site",
    "place_rows",
    "prepare_run",
    "privacy_notes",
    "propose_hints",
    "read_curve",
    "read_record",
    "recorded_liars",
    "run_config",
    "run_session",
    "saved_states",
    "score_halves",
    "shared_plan",
    "shared_vocabulary",
    "take_rows",
    "to_json",
    "write_atomically",
    "write_prompt",
    "wrong_answers",
]
