"""The line between sites and coordinator: a proxy that keeps what passes, and a search in it."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Self

_STREAM = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04")
"""Beginnings of gzip, of zlib, and of a file in a zip archive."""


def unpacked(data: bytes) -> Iterator[bytes]:
    """Yield the data, and what is compressed in it, at any depth."""
    yield data
    for start in (match.start() for match in _STREAM.finditer(data)):
        begin, bits = start, 31 if data[start] == 0x1F else 15
        if data[start : start + 2] == b"PK" and len(data) >= start + 30:
            begin, bits = start + 30 + sum(struct.unpack_from("<HH", data, start + 26)), -15
        try:
            inside = zlib.decompressobj(bits).decompress(data[begin:])
        except zlib.error:
            continue
        if inside:
            yield from unpacked(inside)


def spellings(word: bytes) -> set[bytes]:
    """Return a word and what it always has in it in base64, wherever in a text it stands."""
    found = {word}
    for shift, start in enumerate((0, 2, 3)):
        text = base64.b64encode(bytes(shift) + word)
        found.add(text[start : 8 * (shift + len(word)) // 6])
    return found


def found_in(data: bytes, words: set[bytes]) -> set[bytes]:
    """Return the words that stand in the data, plainly, compressed or in base64."""
    parts = list(unpacked(data))
    return {
        word for word in words if any(form in part for form in spellings(word) for part in parts)
    }


class Tap:
    """A proxy between the sites and a coordinator at 127.0.0.1, which has the latter's certificate.

    It ends the encryption on both sides, so that what it keeps is what a coordinator reads.

    Parameters
    ----------
    port : int
        Where the coordinator listens.
    tls : Path
        Folder that ``asyndbt keys tls`` has written.
    """

    def __init__(self, port: int, tls: Path) -> None:
        self._port, self._tls = port, tls
        self._kept: list[tuple[str, bytearray]] = []
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self._server_side()
        )
        self._ready.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()

    def passed(self, way: str) -> bytes:
        """Return all that went "in" to the sites or "out" of them, connection by connection."""
        return b"\n".join(bytes(data) for other, data in self._kept if other == way)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, and end it where nobody listens behind."""
        writers = [writer]
        try:
            protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol()
            far_reader, far = await asyncio.open_connection(
                "127.0.0.1",
                self._port,
                ssl=self._client_side(protocol),
                server_hostname="localhost",
            )
            writers.append(far)
            ways = self._pump(reader, far, "out"), self._pump(far_reader, writer, "in")
            await asyncio.wait(
                [asyncio.ensure_future(way) for way in ways],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except OSError:
            pass
        finally:
            for each in writers:
                each.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        kept = bytearray()
        self._kept.append((way, kept))
        try:
            while data := await reader.read(2**16):
                kept += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    def _server_side(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._tls / "server.pem", self._tls / "server.key")
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def _client_side(self, protocol: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._tls / "ca.crt")
        if protocol is not None:
            context.set_alpn_protocols([protocol])
        return context
