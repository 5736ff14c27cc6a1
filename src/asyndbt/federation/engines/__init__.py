"""Engines: they carry messages between the coordinator and sites, and keep time."""

from asyndbt.federation.engines._base import Channel, Engine, InProcessEngine, Site, find_engines
from asyndbt.federation.engines._envelope import pack_failure, pack_reply, unpack_request
from asyndbt.federation.engines._flower import FlowerEngine
from asyndbt.federation.engines._grid import FlowerGrid, Grid, GridReply, Handler
from asyndbt.federation.engines._local import LocalEngine
from asyndbt.federation.engines._virtual import Delays, VirtualEngine

__all__ = [
    "Channel",
    "Delays",
    "Engine",
    "FlowerEngine",
    "FlowerGrid",
    "Grid",
    "GridReply",
    "Handler",
    "InProcessEngine",
    "LocalEngine",
    "Site",
    "VirtualEngine",
    "find_engines",
    "pack_failure",
    "pack_reply",
    "unpack_request",
]
