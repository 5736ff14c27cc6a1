"""The two ends of Flower's app: a relay at every site, the conductor at the coordinator.

Flower starts a process for every message at a site; this one only passes bytes on, to the process
that has the site's data, model and state.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asyndbt.deploy.relay import relayed
from asyndbt.federation.engines import frames
from asyndbt.federation.engines.flower_grid import FlowerGrid, content_of, record_of

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp

__all__ = ["client_app", "pass_on", "server_app"]


def pass_on(frame: bytes, relay: Path) -> bytes:
    """Have the site's process answer; what goes wrong is told by its class alone."""
    try:
        return relayed(relay, frame)
    except Exception as error:
        return frames.failure(error)


def client_app() -> ClientApp:
    """Return the app of a site."""
    from flwr.app import Message
    from flwr.clientapp import ClientApp

    def query(message: Message, context: Context) -> Message:
        answer = pass_on(content_of(message), Path(str(context.node_config["relay"])))
        return Message(record_of(answer), reply_to=message)

    app = ClientApp()
    app.query()(query)
    return app


def server_app() -> ServerApp:
    """Return the app of the coordinator: it carries out the run in the directory it is told."""
    from flwr.serverapp import ServerApp

    from asyndbt.deploy.submitted import carry_out

    def main(grid: Grid, context: Context) -> None:
        carry_out(Path(str(context.run_config["directory"])), FlowerGrid(grid))

    app = ServerApp()
    app.main()(main)
    return app
