"""What is around a message between machines: of which run it is, or why there is none.

An *ask* goes to a site: a run, and an assignment, or nothing to have the site introduce itself. An
*answer* comes back: a message, or the name of an error's class. Both are records of `codec`.
"""

from __future__ import annotations

import re

import numpy as np

from asyndbt.errors import MessageError
from asyndbt.federation._codec import pack, unpack

_RUN = re.compile(r"[0-9a-f]{16}")
_KIND = re.compile(r"[A-Za-z_]\w{0,60}")


class FrameError(MessageError):
    """An answer that holds no message.

    Parameters
    ----------
    kind : str
        Class of the error that the site met.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"the site met {kind}")
        self.kind = kind


def pack_request(run: str, work: bytes = b"") -> bytes:
    """Write what goes to a site.

    Parameters
    ----------
    run : str
        16 hexadecimal digits: a site keeps the state of every run apart.
    work : bytes
        An assignment; nothing to have the site offer itself.

    Examples
    --------
    >>> unpack_request(pack_request("0123456789abcdef", b"work"))
    ('0123456789abcdef', b'work')
    """
    return pack({"run": run}, {"work": np.frombuffer(work, np.int8)})


def unpack_request(frame: bytes) -> tuple[str, bytes]:
    """Read what `ask` wrote: the run and the work.

    Raises
    ------
    MessageError
        If it is anything else.
    """
    fields, arrays = unpack(frame)
    run = fields.get("run")
    if set(fields) != {"run"} or not isinstance(run, str) or not _RUN.fullmatch(run):
        raise MessageError("an ask names a run by 16 hexadecimal digits")
    if set(arrays) != {"work"} or arrays["work"].dtype != np.int8:
        raise MessageError("an ask holds one piece of work")
    return run, arrays["work"].tobytes()


def pack_reply(message: bytes) -> bytes:
    """Write a site's message."""
    return pack({}, {"message": np.frombuffer(message, np.int8)})


def pack_failure(error: BaseException) -> bytes:
    """Write that a site has failed: the error's class, since its text might quote an example."""
    return pack({"kind": type(error).__name__[:60]}, {})


def unpack_reply(frame: bytes) -> bytes:
    """Read a site's message.

    Raises
    ------
    FrameError
        If the site says that it has failed.
    MessageError
        If it is no answer.

    Examples
    --------
    >>> unpack_reply(pack_reply(b"report"))
    b'report'
    >>> unpack_reply(pack_failure(KeyError("a text")))
    Traceback (most recent call last):
        ...
    asyndbt.federation.engines._envelope.FrameError: the site met KeyError
    """
    fields, arrays = unpack(frame)
    kind = fields.get("kind")
    if isinstance(kind, str) and _KIND.fullmatch(kind):
        raise FrameError(kind)
    if fields or set(arrays) != {"message"} or arrays["message"].dtype != np.int8:
        raise MessageError("an answer holds one message")
    return arrays["message"].tobytes()
