"""The process that has a site's data, model and state: ``python -m ... site.toml SOCKET``."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

from asyndbt.config import load_site_file
from asyndbt.deploy._site import SiteHost, serve_requests


async def serve_site(file: Path, relay: Path) -> None:
    """Answer frames at the socket `relay`, in a private directory, until SIGTERM."""
    host, name = SiteHost(file), load_site_file(file).site.name
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    relay.unlink(missing_ok=True)
    try:
        async with serve_requests(relay, host.answer):
            logging.getLogger("asyndbt.site").info("site %s is ready", name)
            await stop.wait()
    finally:
        await host.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(serve_site(Path(sys.argv[1]), Path(sys.argv[2])))
