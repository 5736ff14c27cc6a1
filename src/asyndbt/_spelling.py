"""Labels, names of sites, paths and letters that people and programs spell in several ways."""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np


def composed(text: str) -> str:
    """Return a text with composed letters (NFC): the same letters in two spellings are equal.

    Examples
    --------
    >>> composed("Ko\u0308ln") == "Köln"
    True
    """
    return unicodedata.normalize("NFC", text)


def without_tilde(path: str | Path) -> Path:
    """Return a path with the user's folder for ``~``, and one of nobody's folder as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # "~notes.csv" may be the name of a file
        return Path(path)


_INVISIBLE: Final = "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
_SIGNS: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u02b9\u02bb\u02bc\u02c8\u2032\u00b4`\uff07\u055a", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u300c\u300d\u300e\u300f\uff02", '"')
    | dict.fromkeys("\u2010\u2011\u2212\u207b\u208b\u02d7\ufe63\uff0d\u2796", "-")
    | dict.fromkeys("\u2012\u2014\u2015\u2e3a\u2e3b\ufe58", "\u2013")
    | dict.fromkeys(_INVISIBLE)
)
"""Apostrophes, quotation marks, hyphens with minus signs, and dashes, each by one of them."""


def plain_signs(text: str) -> str:
    """Return a text with one code point for every letter, digit, apostrophe, quote and dash.

    Compatibility forms are resolved (NFKC).  Hyphens and minus signs are ``-``, longer dashes are
    ``–``.  Case stays, but a letter that is several in the other case, such as ß, is those.

    Examples
    --------
    >>> print(plain_signs("don\u2019t \u201cStraße\u201d \u22121 \u0661"))
    don't "Strasse" -1 1
    """
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)
    return text if text.isascii() else "".join(map(_plain_letter, text))


def caseless(text: str) -> str:
    """Return what a text has in common with its spellings in other signs, cases and white space.

    Examples
    --------
    >>> caseless(" VERY  GOOD") == caseless("very\u00a0good")
    True
    """
    return " ".join(plain_signs(text).casefold().split())


def _plain_letter(letter: str) -> str:
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    caseless = letter.casefold()
    return caseless if len(caseless) > 1 else letter


def plain_value(value: object) -> object:
    """Return the value of Python that a scalar of NumPy stands for; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def scalar_text(value: object) -> str | None:
    """Return a text, a whole number or a truth value as text; None for anything else.

    Examples
    --------
    >>> scalar_text(1.0), scalar_text(True), scalar_text("1.0"), scalar_text(0.5)
    ('1', 'True', '1.0', None)
    """
    value = plain_value(value)
    # Many tools write a column of whole numbers with a gap as 0.0, 1.0.
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    return str(value) if isinstance(value, str | int) else None


def is_missing(value: object) -> bool:
    """Return whether a value stands for nothing: null, not a number, or a blank text."""
    value = plain_value(value)
    if isinstance(value, float | Decimal):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def common_spelling(text: str) -> str:
    """Return what spellings of the same label, or name, have in common.

    Letters are composed; ``1.0`` is ``1``, as a column of numbers with a gap has it, and ``True``,
    as Python has it, or ``TRUE``, as spreadsheets do, is ``true``.

    Examples
    --------
    >>> common_spelling(" 1.0 "), common_spelling("TRUE"), common_spelling("1.5")
    ('1', 'true', '1.5')
    """
    text = composed(text.strip())
    if re.fullmatch(r"-?[0-9]+\.0+", text):
        return str(int(text.partition(".")[0]))
    return text.lower() if text.lower() in ("true", "false") else text


_LONGEST_NAME: Final = 60
"""Characters: in any script they fit the name of a file, 255 bytes."""
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def site_name_fault(name: str) -> str | None:
    """Return why a site cannot have this name, which is that of a folder on any system, too.

    Examples
    --------
    >>> site_name_fault("Köln 2"), site_name_fault("../up")
    (None, 'starts with a letter or digit and has only letters, digits, spaces and . _ - in it')
    """
    kinds = {unicodedata.category(character)[0] for character in name if character not in " ._-"}
    if not name[:1].isalnum() or not kinds <= {"L", "N", "M"}:
        return "starts with a letter or digit and has only letters, digits, spaces and . _ - in it"
    if len(name) > _LONGEST_NAME:
        return f"has {_LONGEST_NAME} characters at most; this one has {len(name):,}"
    if name[-1] in " .":
        return "does not end in a space or a full stop, which some systems drop"
    if _DEVICES.fullmatch(name):
        return "is not that of a device on some systems"
    return None
