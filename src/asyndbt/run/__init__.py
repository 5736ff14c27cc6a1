"""Runs: from a configuration to a directory that holds everything, and back."""

from asyndbt.run._directory import Event, Observer, RunDirectory, to_json, write_atomically
from asyndbt.run._estimate import Estimate, can_begin, estimate_run
from asyndbt.run._inputs import load_inputs, load_site_data, make_task, place_rows, take_rows
from asyndbt.run._model_handle import ModelCheck, ModelHandle, check_model
from asyndbt.run._outcome import build_result, measured, write_prompt
from asyndbt.run._recorder import Progress, Recorder, curve_of_events
from asyndbt.run._remote_site import RemoteSite, check_site, open_site
from asyndbt.run._result import Result
from asyndbt.run._session import check_settings, resume_run, run_config
from asyndbt.run._setup import (
    TUNING_VALIDATIONS,
    USEFUL_STEPS,
    RunSetup,
    prepare_run,
    shared_plan,
    shared_vocabulary,
)
from asyndbt.run._site import RunSite

__all__ = [
    "TUNING_VALIDATIONS",
    "USEFUL_STEPS",
    "Estimate",
    "Event",
    "ModelCheck",
    "ModelHandle",
    "Observer",
    "Progress",
    "Recorder",
    "RemoteSite",
    "Result",
    "RunDirectory",
    "RunSetup",
    "RunSite",
    "build_result",
    "can_begin",
    "check_model",
    "check_settings",
    "check_site",
    "curve_of_events",
    "estimate_run",
    "load_inputs",
    "load_site_data",
    "make_task",
    "measured",
    "open_site",
    "place_rows",
    "prepare_run",
    "resume_run",
    "run_config",
    "shared_plan",
    "shared_vocabulary",
    "take_rows",
    "to_json",
    "write_atomically",
    "write_prompt",
]
