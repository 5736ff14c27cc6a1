"""Tables of settings: frozen, strict, described key by key.

The configuration file is made of such tables; a provider, an estimator or a method declares its own
options as one, beside the class that they are for.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

__all__ = ["Section", "SettingError", "key"]


class Section(BaseModel):
    """A table of the configuration file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SettingError(ValueError):
    """What is wrong with one key, found by looking at several.

    Parameters
    ----------
    key : str
        The key, relative to the table that was being checked.
    text : str
        What is wrong and the mend; it follows the full key in the message.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key
        self.text = text


def key(default: Any, description: str, *, example: Any, kind: str = "", **bounds: Any) -> Any:
    """Describe one key of a table.

    Parameters
    ----------
    default : object
        The value where the key is not given; ``...`` where it has to be.
    description : str
        One line on what the key does.
    example : object
        Another value, shown by ``asyndbt init`` and in the reference.
    kind : str
        What the value is, in words; derived from the annotation where it is empty.
    **bounds
        Constraints of `pydantic.Field`, such as ``ge``.
    """
    extra: JsonDict | None = {"kind": kind} if kind else None
    return Field(
        default, description=description, examples=[example], json_schema_extra=extra, **bounds
    )
