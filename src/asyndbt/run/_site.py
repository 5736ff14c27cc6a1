"""A site of a run on this machine, with its own part of the run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asyndbt.errors import RunDirectoryError
from asyndbt.federation import Assignment, Join, Report, Worker, report_in
from asyndbt.lm import AnswerCache, Gateway, Limits
from asyndbt.run._directory import read_record, replace_state, to_json, write_atomically
from asyndbt.run._states import drop_states, saved_states
from asyndbt.scoring import Judge, Needs, PromptObjective, SitePrompts

_DATA: Final = "data.json"


def changed_parts(folder: Path, prompts: SitePrompts) -> list[str]:
    """Return what of a site's prompts is not as it was when its folder was made, by name."""
    before = read_record(folder / _DATA)
    return [part for part, digest in prompts.digests.items() if before.get(part) != digest]


@dataclass(slots=True)
class RunSite:
    """A site of a run on this machine: its worker, its prompts, and the folder of its state.

    `needs` is what it must be able to spend, `tuning` what its budget leaves for tuning; `judge`
    says what answers are worth, where the task has one.
    """

    worker: Worker
    prompts: SitePrompts
    folder: Path
    cache: AnswerCache
    needs: Needs
    tuning: Limits
    judge: Judge | None = None

    @property
    def gateway(self) -> Gateway:
        """The way to the language model, with the ledger of all that was paid here."""
        objective = self.worker.objective
        assert isinstance(objective, PromptObjective)
        return objective.gateway

    def join(self) -> Join:
        """Return the message by which the site enters the run."""
        return self.worker.join()

    async def handle(self, assignment: Assignment) -> Report:
        """Do a piece of work, and save the state after it.

        Raises
        ------
        RunDirectoryError
            If it is older than the last two that were done: no work is done twice.
        """
        if assignment.id < self.worker.answered:
            return self._earlier(assignment)
        done = self.worker.answered
        report = await self.worker.handle(assignment)
        if self.worker.answered != done:
            self.save()
        return report

    def save(self) -> None:
        """Write the worker's state into the site's folder.

        How much privacy is spent is written apart, since it is never taken back, as a state may be;
        and first, since a state that outlives a crash has a report that may be sent.
        """
        if (private := self.worker.private) is not None:
            write_atomically(self._spent_file, to_json({"noisy_reports": private.spent}))
        replace_state(self._file, self.worker.state())

    def _earlier(self, assignment: Assignment) -> Report:
        """Return the last report but one again: a coordinator may have lost its latest state."""
        for state in saved_states(self._file)[0]:
            if state.fields["answered"] == assignment.id:
                return report_in(state.data)
        raise RunDirectoryError(
            f"site {self.worker.site!r} has done work {self.worker.answered} and is asked for "
            f"{assignment.id}: the coordinator has lost what came in between"
        )

    @property
    def damaged(self) -> bool:
        """Whether a state on the disk cannot be read."""
        return saved_states(self._file)[1]

    def find(self, least: int, most: int) -> bytes | None:
        """Return the latest state whose last work has a number in ``least..most``.

        Returns
        -------
        bytes or None
            Empty for a site that has done no work; None if there is no such state any more.
        """
        for state in saved_states(self._file)[0]:
            if least <= state.fields["answered"] <= most:
                return state.data
        return b"" if least < 0 else None

    def load(self, state: bytes) -> None:
        """Restore a state of an earlier session; nothing if it is empty."""
        if state:
            self.worker.restore(state)

    def forget(self) -> None:
        """Remove the states of earlier sessions."""
        drop_states(self._file)

    @property
    def _file(self) -> Path:
        return self.folder / "state"

    @property
    def _spent_file(self) -> Path:
        return self.folder / "privacy.json"

    def bind(self, *, begun: bool) -> None:
        """Record what the site's prompts are made of; compare it, if the run has begun before.

        Also find out how much privacy earlier sessions have spent.

        Raises
        ------
        RunDirectoryError
            If an earlier session had other data: its policies would select other texts here, and
            its answers be about other queries.
        """
        file = self.folder / _DATA
        known = begun and file.exists()
        if changed := changed_parts(self.folder, self.prompts) if known else []:
            raise RunDirectoryError(
                f"site {self.worker.site!r} has other data than this run was started with "
                f"({', '.join(changed)}): put the files back, or start a new run in another "
                "directory"
            )
        write_atomically(file, to_json(self.prompts.digests))
        if self.worker.private is not None and self._spent_file.exists():
            self.worker.private.spent = read_record(self._spent_file)["noisy_reports"]

    def close(self) -> None:
        """Close the answer caches."""
        self.cache.close()
        if self.judge is not None:
            self.judge.gateway.cache.close()
