"""Names of fields in a file: what a task may call a field, a tool may need for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from keyword import iskeyword
from typing import Final
from unicodedata import normalize

from pydantic import BaseModel

_JINJA: Final = frozenset({"caller", "false", "loop", "none", "null", "self", "super", "true"})
_LANGCHAIN: Final = frozenset({"self", "stop"})
_CALL: Final = frozenset(
    {"completions", "config", "demos", "label", "lm", "new_signature", "prediction", "self"}
)
"""What a call of DSPy takes for itself, and the output of the signature."""
_SIGNATURE: Final = frozenset(
    {
        "append",
        "append_instructions",
        "delete",
        "dump_state",
        "equals",
        "fields",
        "input_fields",
        "insert",
        "instructions",
        "load_state",
        "output_fields",
        "prepend",
        "signature",
        "with_instructions",
        "with_updated_fields",
    }
)
"""Attributes of DSPy's signatures, which are models of Pydantic."""


def any_name(name: str) -> bool:
    """Return True: ``str.format`` takes every name of a field."""
    return True


def jinja_name(name: str) -> bool:
    """Whether a name can be looked up in Jinja and Nunjucks."""
    return not iskeyword(name) and name not in _JINJA


def langchain_name(name: str) -> bool:
    """Whether a template of LangChain can have a variable of this name."""
    return name not in _LANGCHAIN


def dspy_name(name: str) -> bool:
    """Whether a signature of DSPy can have an input of this name, beside the output ``label``."""
    taken = name in _CALL or name in _SIGNATURE or hasattr(BaseModel, name)
    plain = name == normalize("NFKC", name) and not name.startswith(("_", "model_"))
    return plain and not taken and not iskeyword(name)


def names_of(fields: Sequence[str], usable: Callable[[str], bool]) -> dict[str, str]:
    """Return the name of every field in a file: its own where that is usable.

    Examples
    --------
    >>> names_of(["text", "self", "field_self"], jinja_name)
    {'text': 'text', 'self': 'field_self_', 'field_self': 'field_self'}
    """
    own = {field for field in fields if usable(field)}
    names: dict[str, str] = {}
    for field in fields:
        name = field if field in own else normalize("NFKC", f"field_{field}")
        while field not in own and (name in own or name in names.values()):
            name += "_"
        names[field] = name
    return names
