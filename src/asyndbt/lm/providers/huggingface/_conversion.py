"""GGUF files as folders of the `transformers` library: converted once, then read from a cache.

The library takes from half a minute to minutes to read a GGUF file, most of it for the words of the
vocabulary, and refuses to save what it has read.  A network with the same weights that was not read
from such a file can be saved.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from asyndbt.lm.providers.huggingface._digest import digest_of
from asyndbt.lm.providers.huggingface._gguf_files import GgufFile
from asyndbt.lm.providers.huggingface._networks import find_kind, load_network

_log = logging.getLogger(__name__)

_SEAL: Final = "digest"
"""File with the digest of all others in the folder, written last."""


def converted(gguf: GgufFile, model: str) -> Path:
    """Return a folder with the model of a GGUF file in float32, converted unless it is cached.

    The cache is that of `huggingface_hub` for files of other libraries; the environment variable
    ``HF_ASSETS_CACHE`` names another folder.  An entry is for the file as it is now and for the
    versions of the libraries.  Several processes convert a file once.  A damaged entry is made
    anew, with a warning.  `model` is the name in errors.
    """
    from filelock import FileLock
    from huggingface_hub import cached_assets_path

    entry = f"{Path(gguf.name).stem}-{_key(gguf)}"
    folder: Path = cached_assets_path("asyndbt", "gguf", entry)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not _is_whole(folder):
            _convert(gguf, folder, model)
    return folder


def _key(gguf: GgufFile) -> str:
    times = [str(part.stat().st_mtime_ns) for part in gguf.parts]
    versions = [version(library) for library in ("transformers", "gguf")]
    parts = (digest_of(gguf.parts), *times, *versions)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _is_whole(folder: Path) -> bool:
    seal = folder / _SEAL
    if not seal.exists():
        return False
    if seal.read_text("utf-8") == _contents(folder):
        return True
    _log.warning("the converted weights in %s are damaged, and are made anew", folder)
    return False


def _contents(folder: Path) -> str:
    return digest_of(sorted(p for p in folder.iterdir() if p.is_file() and p.name != _SEAL))


def _convert(gguf: GgufFile, folder: Path, model: str) -> None:
    _log.warning(
        "%s is read for the first time, which may take minutes; later starts take seconds, from %s",
        gguf.name,
        folder,
    )
    shutil.rmtree(folder)
    folder.mkdir()
    # Away from files beside it, which the library would read as well.
    with TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as place:
        network, tokenizer = _read(gguf.put_together(Path(place)), model)
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / _SEAL).write_text(_contents(folder), "utf-8")


def _read(file: Path, model: str) -> tuple[Any, Any]:
    """Return network and tokenizer of a GGUF file, as if they were not from such a file."""
    import torch
    import transformers

    place = str(file.parent)
    origin = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(place, **origin)
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, config=config, **origin)
    network = load_network(
        find_kind(config, model),
        place,
        model,
        config=config,
        dtype=torch.float32,
        **_dequantised(),
        **origin,
    )
    with torch.device("meta"):
        same = type(network)(config)
    same.load_state_dict(network.state_dict(), assign=True)
    return same, tokenizer


def _dequantised() -> dict[str, Any]:
    """Option for versions that would rather compute with the blocks of the file."""
    import transformers

    config = getattr(transformers, "GgufConfig", None)
    return {} if config is None else {"quantization_config": config(dequantize=True)}
