"""What several tables share: paths, sources of data, names of sites, and caps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from asyndbt._section import Section, key
from asyndbt._spelling import composed, site_name_fault, without_tilde
from asyndbt.config._toml import BACKSLASHES
from asyndbt.lm import Limits

_PREFIXES = ("pocket", "datasets")


def resolved(path: str | Path, info: ValidationInfo) -> Path:
    r"""Return the absolute form of a path of the configuration.

    Raises
    ------
    ValueError
        If it has a tab or another control character, as ``"C:\temp"`` has in double quotes.
    """
    if any(character < " " for character in str(path)):
        raise ValueError(BACKSLASHES)
    return (Path((info.context or {}).get("base", ".")) / without_tilde(path)).resolve()


def _path_of(kind: str) -> BeforeValidator:
    def read(value: object, info: ValidationInfo) -> Path:
        if not isinstance(value, str | Path) or not str(value):
            raise ValueError(f"give the path of a {kind}, in quotes")
        return resolved(value, info)

    return BeforeValidator(read)


def _source(value: str, info: ValidationInfo) -> str:
    if not value:
        raise ValueError("give a path, pocket:TASK/SPLIT, or datasets:NAME")
    prefix = re.match(r"([A-Za-z]{2,}):", value)
    if prefix is None:
        return str(resolved(value, info))
    if prefix[1] not in _PREFIXES:
        raise ValueError(
            f"{prefix[1]}: is not a known source; give a path, pocket:TASK/SPLIT, or datasets:NAME"
        )
    if prefix[1] == "pocket" and not re.fullmatch(r"pocket:[^/]+/[^/]+", value):
        raise ValueError("write it as pocket:TASK/SPLIT, such as pocket:sentiment-consumer/train")
    name, colon, split = value.removeprefix("datasets:").partition(":")
    if not name.strip():
        raise ValueError("write the name of the data set after datasets:")
    # Either a folder of data files or a name on the hub.
    folder = resolved(name, info)
    is_folder = prefix[1] == "datasets" and folder.is_dir()
    return f"datasets:{folder}{colon}{split}" if is_folder else value


def _name(value: str) -> str:
    if fault := site_name_fault(composed(value)):
        raise ValueError(f"a site's name {fault}")
    return composed(value)


Source = Annotated[str, AfterValidator(_source)]
Directory = Annotated[Path, _path_of("directory")]
File = Annotated[Path, _path_of("file")]
Name = Annotated[str, AfterValidator(_name)]


class LimitsConfig(Section):
    """[budget.per_site]: caps of each site; one that is reached ends tuning there."""

    calls: int | None = key(None, "Most requests.", example=20_000, ge=1)
    tokens: int | None = key(None, "Most tokens, sent and received.", example=5_000_000, ge=1)
    money: float | None = key(
        None, "Most money, in the currency of the prices.", example=10.0, gt=0
    )

    @property
    def limits(self) -> Limits:
        """The caps of a budget."""
        return Limits(self.calls, self.tokens, self.money)
