"""Tables of settings: frozen, strict, described key by key.

The configuration file consists of such tables; a provider, an estimator or a method declares its
options as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import CoreSchema, core_schema

from asyndbt._text import did_you_mean, quoted

NESTED = "[options]"
"""Alias of a field whose keys are written among those of the table that contains it."""


class Section(BaseModel):
    """A table of the configuration file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def all_keys(cls) -> Mapping[str, FieldInfo]:
        """Return the keys of the table in the order of the file."""
        cls.model_rebuild()  # fields may refer to tables defined further down
        return cls.model_fields

    @classmethod
    def variants(cls) -> Mapping[tuple[str, str], type[Section]]:
        """Return tables whose keys join this one's, by the key and value that select each.

        For example ``("provider", "openai")``.
        """
        return {}

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        """Return the defaults that depend on other keys, or on `info.context` (see `Config`).

        Parameters
        ----------
        given : mapping
            The keys of the table as written, not yet validated.
        """
        return {}

    @property
    def given(self) -> frozenset[str]:
        """The keys that the user gave."""
        return frozenset(self.model_fields_set)

    @model_validator(mode="wrap")
    @classmethod
    def _complete(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        missing = {k: v for k, v in cls.derived(data, info).items() if data.get(k) is None}
        section = handler({**data, **missing})
        section._restrict_given(frozenset(data))
        return section

    def _restrict_given(self, names: frozenset[str]) -> None:
        """Count only these keys as given; pydantic counts derived defaults as well."""
        self.model_fields_set.intersection_update(names)


class SettingError(ValueError):
    """A problem with one key that depends on others.

    Parameters
    ----------
    key : str
        Relative to the table that is being validated.
    text : str
        The problem and the remedy, as they follow the full key in the message.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key
        self.text = text


@dataclass(frozen=True, slots=True)
class OneOf:
    """Annotation of a string that is one of several names, looked up only at validation."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: str) -> str:
        names = list(self.names())
        if value not in names:
            choices = " or ".join(map(quoted, names))
            raise ValueError(f"use {choices}{did_you_mean(value, names, quoted)}")
        return value


def key(default: Any, description: str, *, example: Any, kind: str = "", **bounds: Any) -> Any:
    """Describe one key of a table.

    Parameters
    ----------
    default : object
        ``...`` makes the key required.
    description : str
        One line on what the key does.
    example : object
        A value other than the default, for ``asyndbt init`` and the reference.
    kind : str
        What the value is, in words; by default derived from the annotation.
    **bounds
        Constraints of `pydantic.Field`, such as ``ge``.
    """
    extra: JsonDict | None = {"kind": kind} if kind else None
    return Field(
        default, description=description, examples=[example], json_schema_extra=extra, **bounds
    )
