"""A site of a run on this machine, with its own part of the run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asyndbt.errors import RunDirectoryError
from asyndbt.federation import Assignment, Join, Needs, Report, SitePrompts, Worker
from asyndbt.lm import AnswerCache, Limits
from asyndbt.run._directory import write_atomically


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
        head = self.prompts.digest.encode() + b"\n"
        write_atomically(self.folder / "state", head + self.worker.state())

    def load(self) -> None:
        """Restore the state of an earlier session, if there is one.

        Raises
        ------
        RunDirectoryError
            If the session had other data, for which its policies would select other texts, or
            another version wrote its state.
        """
        file = self.folder / "state"
        if not file.exists():
            return
        digest, _, state = file.read_bytes().partition(b"\n")
        if digest.decode("ascii", "replace") != self.prompts.digest:
            raise RunDirectoryError(
                f"site {self.worker.site!r}: its data, or the vocabulary, is not what this run "
                "was started with; put the files back, or start a new run in another directory"
            )
        self.worker.restore(state)

    def close(self) -> None:
        """Close the answer cache."""
        self.cache.close()
