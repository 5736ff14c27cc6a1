"""A site of a run on this machine, with its own part of the run directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from asyndbt.errors import RunDirectoryError
from asyndbt.federation import Assignment, Join, Needs, Report, SitePrompts, Worker
from asyndbt.lm import AnswerCache, Limits
from asyndbt.run._directory import to_json, write_atomically


@dataclass(slots=True)
class RunSite:
    """A site of a run on this machine: its worker, its prompts, and the folder of its state.

    `needs` is what it must be able to spend, `tuning` what its budget leaves for tuning.
    """

    worker: Worker
    prompts: SitePrompts
    folder: Path
    cache: AnswerCache
    needs: Needs
    tuning: Limits

    def join(self) -> Join:
        """Return the message by which the site enters the run."""
        return self.worker.join()

    async def handle(self, assignment: Assignment) -> Report:
        """Do a piece of work, and save the state after it."""
        report = await self.worker.handle(assignment)
        self.save()
        return report

    def save(self) -> None:
        """Write the worker's state into the site's folder."""
        write_atomically(self.folder / "state", self.worker.state())

    def load(self) -> None:
        """Restore the state of an earlier session, if there is one."""
        file = self.folder / "state"
        if file.exists():
            self.worker.restore(file.read_bytes())

    def bind(self, *, begun: bool) -> None:
        """Record what the site's prompts are made of; compare it, if the run has begun before.

        Raises
        ------
        RunDirectoryError
            If an earlier session had other data: its policies would select other texts here, and
            its answers be about other queries.
        """
        file, digests = self.folder / "data.json", self.prompts.digests
        if begun and file.exists():
            before = json.loads(file.read_bytes())
            changed = [part for part, digest in digests.items() if before.get(part) != digest]
            if changed:
                raise RunDirectoryError(
                    f"site {self.worker.site!r} has other data than this run was started with "
                    f"({', '.join(changed)}): put the files back, or start a new run in another "
                    "directory"
                )
        write_atomically(file, to_json(digests))

    def close(self) -> None:
        """Close the answer cache."""
        self.cache.close()
