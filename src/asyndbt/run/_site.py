"""A site of a run on this machine, and its own part of the run's directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asyndbt.errors import RunDirectoryError
from asyndbt.federation import Needs, SitePrompts, Worker
from asyndbt.lm import AnswerCache, Limits
from asyndbt.run._directory import write_atomically


@dataclass(slots=True)
class RunSite:
    """A site of a run on this machine: its worker, its prompts, and where its state is kept.

    `needs` is what it must be able to spend, `tuning` what its budget leaves for tuning.
    """

    worker: Worker
    prompts: SitePrompts
    folder: Path
    cache: AnswerCache
    needs: Needs
    tuning: Limits

    def save(self) -> None:
        """Put the worker's state into the site's own part of the run directory."""
        head = self.prompts.digest.encode() + b"\n"
        write_atomically(self.folder / "state", head + self.worker.state())

    def load(self) -> None:
        """Take over the state of an earlier session, if there is one.

        Raises
        ------
        RunDirectoryError
            If the session worked on other data: its policies would mean other texts here.
        """
        file = self.folder / "state"
        if not file.exists():
            return
        digest, _, state = file.read_bytes().partition(b"\n")
        if digest.decode("ascii", "replace") != self.prompts.digest:
            raise RunDirectoryError(
                f"site {self.worker.site!r}: its data, or the vocabulary, is not what this run "
                "was started with; put the files back, or start anew in another directory"
            )
        self.worker.restore(state)

    def close(self) -> None:
        """Close the file of paid answers."""
        self.cache.close()
