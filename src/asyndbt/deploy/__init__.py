"""Federations across machines: the processes of coordinator and sites, and their transport."""

from asyndbt.deploy._flower import register_key, status_lines
from asyndbt.deploy._keys import new_certificates, new_key
from asyndbt.deploy._start import start_coordinator, start_site
from asyndbt.deploy._submit import stop_run, submit_again, submit_run

__all__ = [
    "new_certificates",
    "new_key",
    "register_key",
    "start_coordinator",
    "start_site",
    "status_lines",
    "stop_run",
    "submit_again",
    "submit_run",
]
