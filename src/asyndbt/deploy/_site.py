"""The long-lived part of a site: data, model and state, behind the frames of its relay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from asyndbt._relay import HEAD, LARGEST
from asyndbt.config import load_site_file
from asyndbt.errors import DeployError
from asyndbt.federation.engines import pack_failure, pack_reply, unpack_request
from asyndbt.run import RemoteSite, open_site

_log = logging.getLogger("asyndbt.site")


class SiteHost:
    """Answers the coordinator's requests, with separate state for every run.

    `file`, the site's ``site.toml``, and its data are read at the start of every run and process.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._run = file, ""
        self._site: RemoteSite | None = None

    async def answer(self, frame: bytes) -> bytes:
        """Answer one frame; failures are reported by their class, and in full in the site's log."""
        try:
            run, work = unpack_request(frame)
            site = await self._at(run)
            return pack_reply(await site.answer(work))
        except Exception as error:
            _log.exception("the work was not done")
            return pack_failure(error)

    async def close(self) -> None:
        """Close the files of the current run."""
        if self._site is not None:
            await self._site.close()
        self._run, self._site = "", None

    async def _at(self, run: str) -> RemoteSite:
        """Return the site's part in a run; that of the previous run is closed."""
        if self._site is None or run != self._run:
            await self.close()
            own = load_site_file(self._file)
            shared = own.shared()
            private = own.private(shared, self._file.parent)
            self._site = open_site(shared, private, own.site.state / "runs" / run)
            self._run = run
            _log.info("taking part in run %s", run)
        return self._site


_LONGEST_PATH = 100


@asynccontextmanager
async def serve_requests(
    path: Path, handler: Callable[[bytes], Awaitable[bytes]]
) -> AsyncIterator[None]:
    """Answer frames at a socket, one after another, while the context is open.

    Raises
    ------
    DeployError
        If the path is too long for a socket.
    """
    if len(str(path).encode()) > _LONGEST_PATH:
        raise DeployError(f"{path}: too long for a socket: set TMPDIR to a shorter directory")
    one_at_a_time = asyncio.Lock()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            (length,) = HEAD.unpack(await reader.readexactly(HEAD.size))
            if length <= LARGEST:
                frame = await reader.readexactly(length)
                async with one_at_a_time:
                    answer = await handler(frame)
                writer.write(HEAD.pack(len(answer)) + answer)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_unix_server(connected, path)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
