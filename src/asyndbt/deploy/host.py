"""The long-lived part of a site: data, model and state, behind frames of bytes."""

from __future__ import annotations

import logging
from pathlib import Path

from asyndbt.config import Config
from asyndbt.federation.engines import frames
from asyndbt.run.lone_site import LoneSite, open_site

__all__ = ["SiteHost"]

_log = logging.getLogger("asyndbt.site")


class SiteHost:
    """Answers what the coordinator asks, with the state of every run kept apart.

    Parameters
    ----------
    shared : Config
        What all sites agree on.
    private : Config
        What this site is told: the same, with its own data, model and caps.
    state : Path
        Directory of what the site keeps.
    """

    def __init__(self, shared: Config, private: Config, state: Path) -> None:
        self._shared, self._private, self._runs = shared, private, state / "runs"
        self._run = ""
        self._site: LoneSite | None = None

    async def answer(self, frame: bytes) -> bytes:
        """Answer one frame; what goes wrong is told by its class, and in full to the site's log."""
        try:
            run, work = frames.read_ask(frame)
            return frames.answer(await self._at(run).answer(work))
        except Exception as error:
            _log.exception("the work was not done")
            return frames.failure(error)

    def close(self) -> None:
        """Close the files of the run at hand."""
        if self._site is not None:
            self._site.close()
        self._run, self._site = "", None

    def _at(self, run: str) -> LoneSite:
        """Return the site's part in a run; the one before is put away."""
        if self._site is None or run != self._run:
            self.close()
            self._site, self._run = open_site(self._shared, self._private, self._runs / run), run
            _log.info("taking part in run %s", run)
        return self._site
