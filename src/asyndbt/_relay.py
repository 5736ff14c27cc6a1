"""What Flower starts at a site, a new process for every message: it passes bytes to the site's own.

So it imports little: the site's process, which has data, model and state, is reached through a Unix
socket in a directory that only its owner may enter. A connection carries one request and one
answer; a frame is 8 bytes of length, then as many bytes.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyndbt._flower_record import from_record, to_record

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp

LARGEST: Final = 256 * 1024 * 1024
"""Most bytes of a frame."""
HEAD: Final = struct.Struct("<Q")


def client_app() -> ClientApp:
    """Return the app of a site."""
    from flwr.app import Message
    from flwr.clientapp import ClientApp

    def query(message: Message, context: Context) -> Message:
        answer = pass_on(from_record(message), Path(str(context.node_config["relay"])))
        return Message(to_record(answer), reply_to=message)

    app = ClientApp()
    app.query()(query)
    return app


def pass_on(frame: bytes, relay: Path) -> bytes:
    """Return the answer of the site's process; failures are reported by their class only."""
    try:
        return relay_request(relay, frame)
    except Exception as error:
        from asyndbt.federation.engines import pack_failure

        return pack_failure(error)


def relay_request(path: Path, frame: bytes) -> bytes:
    """Send a frame to the site's process and wait for its answer, without a time limit.

    Raises
    ------
    OSError
        If the process is not there, or ends meanwhile.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.sendall(HEAD.pack(len(frame)) + frame)
        (length,) = HEAD.unpack(_read_exactly(connection, HEAD.size))
        if length > LARGEST:
            raise ConnectionError("a frame beyond all bounds")
        return _read_exactly(connection, length)


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(1 << 20, count - len(parts)))
        if not part:
            raise ConnectionError("the site's process went away")
        parts += part
    return bytes(parts)
