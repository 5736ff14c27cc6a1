"""Whole runs of the Flower engine over a grid in this process, every site from its own files."""

from __future__ import annotations

from typing import Any

from asyndbt.run import run_config


def test_the_result_is_that_of_one_machine(federation: Any, one_machine: Any) -> None:
    federation.write(federation={"quorum": "all"})
    across = federation.conduct(federation.grid())
    local = run_config(one_machine(federation.folder, quorum="all"))
    assert across.fragment == local.fragment
    assert across.data["metrics"] == local.data["metrics"]
    assert across.data["ledger"] == local.data["ledger"]
    for site in federation.sites:
        there = federation.kept(site) / "sites" / site / "prompt.json"
        here = local.directory / "sites" / site / "prompt.json"
        assert there.read_bytes() == here.read_bytes()
