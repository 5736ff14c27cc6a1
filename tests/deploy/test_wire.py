"""The proxy passes on what it keeps, and the search finds what is in it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import random
import ssl
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from tests.deploy.wire import Tap, found_in

WORD = b"zyxquux0"


def archive(data: bytes) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("row.txt", data)
    return made.getvalue()


@pytest.mark.parametrize(
    "wrap",
    [
        bytes,
        zlib.compress,
        gzip.compress,
        archive,
        base64.b64encode,
        lambda data: gzip.compress(base64.b64encode(data)),
        lambda data: zlib.compress(archive(data)),
    ],
)
@pytest.mark.parametrize("before", range(4))
def test_a_word_is_found_in_whatever_form(wrap: Callable[[bytes], bytes], before: int) -> None:
    noise = random.Random(before).randbytes(5_000)
    text = b"x" * before + WORD + b" and more of it"
    assert found_in(noise + wrap(text) + noise, {WORD, b"elsewhere"}) == {WORD}
    assert found_in(noise + wrap(text.replace(WORD, b"")) + noise, {WORD}) == set()


def test_a_proxy_passes_on_what_it_keeps(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from asyndbt.deploy import new_certificates

    certificate, key, root = new_certificates("localhost", tmp_path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def ask(port: int) -> bytes:
        trusting = ssl.create_default_context(cafile=root)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
        )
        writer.write(b"from a site\n")
        said = await reader.read()
        writer.close()
        return said

    async def talk() -> tuple[bytes, bytes, bytes]:
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(certificate, key)
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=own)
        with Tap(server.sockets[0].getsockname()[1], tmp_path) as tap:
            said = await ask(tap.port)
            server.close()
            assert await ask(tap.port) == b"", "nobody listens behind"
        return said, tap.passed("out"), tap.passed("in")

    assert asyncio.run(talk()) == (b"FROM A SITE\n", b"from a site\n", b"FROM A SITE\n")
