"""Bytes and back: a JSON header followed by raw little-endian arrays.

Layout: 4 bytes magic, 4 bytes header length, the header (UTF-8 JSON, keys sorted), then every
array in the order of the header.  Nothing is unpickled, so decoding runs no foreign code, and the
same content always gives the same bytes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import MessageError

_MAGIC = b"ADBT"
_DTYPES: dict[str, np.dtype[Any]] = {
    code: np.dtype(code).newbyteorder("<") for code in ("f8", "i8", "i4", "i1", "?")
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}


def pack(fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write JSON-compatible `fields` and `arrays` (float64, int64, int32, int8 or bool) as bytes.

    Examples
    --------
    >>> import numpy as np
    >>> fields, arrays = unpack(pack({"t": 3}, {"z": np.ones((2, 2))}))
    >>> fields["t"], arrays["z"].shape
    (3, (2, 2))
    """
    names = sorted(arrays)
    specs = [[name, _CODES[arrays[name].dtype], list(arrays[name].shape)] for name in names]
    header = json.dumps(
        {"fields": fields, "arrays": specs}, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()
    body = [
        np.ascontiguousarray(arrays[name], dtype=_DTYPES[_CODES[arrays[name].dtype]]).tobytes()
        for name in names
    ]
    return b"".join([_MAGIC, struct.pack("<I", len(header)), header, *body])


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `pack` wrote.

    Raises
    ------
    MessageError
        If the bytes are not exactly one such record.
    """
    try:
        if data[:4] != _MAGIC:
            raise MessageError("the bytes do not start like a message of this program")
        (length,) = struct.unpack_from("<I", data, 4)
        header = json.loads(data[8 : 8 + length])
        offset, arrays = 8 + length, {}
        for name, code, shape in header["arrays"]:
            if name in arrays or not all(type(size) is int and size >= 0 for size in shape):
                raise MessageError("an array comes twice, or its shape is none")
            dtype = _DTYPES[code]
            count = math.prod(shape)
            if offset + count * dtype.itemsize > len(data):
                raise MessageError(f"an array of {count} numbers is cut short")
            flat = np.frombuffer(data, dtype, count, offset)
            arrays[name] = flat.reshape(shape).astype(dtype.newbyteorder("="))
            offset += count * dtype.itemsize
        if not isinstance(header["fields"], dict):
            raise MessageError("the fields are not a record")
    except (
        IndexError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise MessageError(f"the message cannot be read: {type(error).__name__}") from error
    if offset != len(data):
        raise MessageError(f"{len(data) - offset} bytes follow the end of the message")
    return header["fields"], arrays
