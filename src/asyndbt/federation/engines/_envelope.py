"""The envelope of a message between machines.

A *request* to a site names a run and holds an assignment, or nothing to have the site introduce
itself. A *reply* holds a message, or the name of an error's class. Both are records of `_codec`.
"""

from __future__ import annotations

import re

import numpy as np

from asyndbt.errors import FrameError, MessageError
from asyndbt.federation._codec import pack, unpack

_RUN = re.compile(r"[0-9a-f]{16}")
_KIND = re.compile(r"[A-Za-z_]\w{0,60}")


def pack_request(run: str, work: bytes = b"") -> bytes:
    """Write a request to a site.

    Parameters
    ----------
    run : str
        16 hexadecimal digits that name the run; a site has one state per run.
    work : bytes
        An assignment, encoded; empty to have the site introduce itself.

    Examples
    --------
    >>> unpack_request(pack_request("0123456789abcdef", b"work"))
    ('0123456789abcdef', b'work')
    """
    return pack({"run": run}, {"work": np.frombuffer(work, np.int8)})


def unpack_request(frame: bytes) -> tuple[str, bytes]:
    """Read a request: the run and the work.

    Raises
    ------
    MessageError
        If it is malformed.
    """
    fields, arrays = unpack(frame)
    run = fields.get("run")
    if set(fields) != {"run"} or not isinstance(run, str) or not _RUN.fullmatch(run):
        raise MessageError("a request names a run by 16 hexadecimal digits")
    if set(arrays) != {"work"} or arrays["work"].dtype != np.int8:
        raise MessageError("a request holds one piece of work")
    return run, arrays["work"].tobytes()


def pack_reply(message: bytes) -> bytes:
    """Write a reply that holds a site's message."""
    return pack({}, {"message": np.frombuffer(message, np.int8)})


def pack_failure(error: BaseException) -> bytes:
    """Write a reply that names an error's class only: its text might quote an example."""
    return pack({"kind": type(error).__name__[:60]}, {})


def unpack_reply(frame: bytes) -> bytes:
    """Read the message in a reply.

    Raises
    ------
    FrameError
        If the site says that it has failed.
    MessageError
        If it is malformed.

    Examples
    --------
    >>> unpack_reply(pack_reply(b"report"))
    b'report'
    >>> unpack_reply(pack_failure(KeyError("a text")))
    Traceback (most recent call last):
        ...
    asyndbt.errors.FrameError: the site met KeyError
    """
    fields, arrays = unpack(frame)
    kind = fields.get("kind")
    if isinstance(kind, str) and _KIND.fullmatch(kind):
        raise FrameError(kind)
    if fields or set(arrays) != {"message"} or arrays["message"].dtype != np.int8:
        raise MessageError("a reply holds one message")
    return arrays["message"].tobytes()
