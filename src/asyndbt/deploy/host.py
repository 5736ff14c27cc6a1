"""The long-lived part of a site: data, model and state, behind frames of bytes."""

from __future__ import annotations

import logging
from pathlib import Path

from asyndbt.config import load_site_file
from asyndbt.federation.engines import frames
from asyndbt.run.lone_site import LoneSite, open_site

__all__ = ["SiteHost"]

_log = logging.getLogger("asyndbt.site")


class SiteHost:
    """Answers what the coordinator asks, with the state of every run kept apart.

    The site's files are read anew at the beginning of every run, and at a restart.

    Parameters
    ----------
    file : Path
        The site's own file, ``site.toml``.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._run = file, ""
        self._site: LoneSite | None = None

    async def answer(self, frame: bytes) -> bytes:
        """Answer one frame; what goes wrong is told by its class, and in full to the site's log."""
        try:
            run, work = frames.read_ask(frame)
            site = await self._at(run)
            return frames.answer(await site.answer(work))
        except Exception as error:
            _log.exception("the work was not done")
            return frames.failure(error)

    async def close(self) -> None:
        """Close the files of the run at hand."""
        if self._site is not None:
            await self._site.close()
        self._run, self._site = "", None

    async def _at(self, run: str) -> LoneSite:
        """Return the site's part in a run; the one before is put away."""
        if self._site is None or run != self._run:
            await self.close()
            own = load_site_file(self._file)
            shared = own.shared()
            private = own.private(shared, self._file.parent)
            self._site = open_site(shared, private, own.site.state / "runs" / run)
            self._run = run
            _log.info("taking part in run %s", run)
        return self._site
