"""The table [federation.liars]: which sites of a simulated run lie, and how."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import model_validator

from asyndbt._section import OneOf, Section, SettingError, key
from asyndbt.config._base import Name
from asyndbt.robustness import ATTACKS


class LiarsConfig(Section):
    """[federation.liars]: sites that lie, for experiments; results are of the others alone."""

    attack: Annotated[str, OneOf(lambda: ATTACKS)] = key(
        ..., "What the liars do.", example="collude"
    )
    share: float | None = key(
        None,
        "Share of the sites that lie, in whole sites; run.seed decides which. 0.0: nobody lies.",
        example=0.3,
        ge=0,
        lt=1,
    )
    sites: list[Name] | None = key(
        None,
        "Names of the sites that lie, instead of a share.",
        example=["north"],
        kind="names",
        min_length=1,
    )
    words: list[str] | None = key(
        None,
        "What colluding liars want: a word of the vocabulary for each position of the fragment "
        "(words drawn by run.seed).",
        example=["wrong", "words", "for", "every", "single", "position"],
        kind="list of words",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.share is None and self.sites is None:
            raise SettingError("share", "is missing: give the share of the sites that lie")
        if self.share is not None and self.sites is not None:
            raise SettingError("share", "and federation.liars.sites exclude each other: keep one")
        for name in ("sites", "words"):
            given = getattr(self, name) or ()
            if len(set(given)) < len(given):
                raise SettingError(name, "names one twice: name each once")
        return self
