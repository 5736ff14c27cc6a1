"""Loads a model and its tokenizer: a folder, a GGUF file, or a name on the Hugging Face hub."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Final, cast

from asyndbt._spelling import without_tilde
from asyndbt.errors import ConfigError, MissingExtraError, ModelError
from asyndbt.lm.providers.huggingface._conversion import converted
from asyndbt.lm.providers.huggingface._digest import digest_of
from asyndbt.lm.providers.huggingface._gguf_files import find_gguf
from asyndbt.lm.providers.huggingface._networks import PROVIDER, Kind, find_kind, load_network

_SUFFIXES: Final = frozenset({".json", ".safetensors", ".model", ".txt", ".jinja"})
"""Files that determine a model's answers: configuration, weights, tokenizer."""

_GPUS: Final = ("cuda", "xpu", "mps")

_NO_DEVICE: Final = (RuntimeError, AssertionError)
"""What `torch` raises for a device that it was not built for, or that is not there."""

_NOT_LOADED: Final = (
    *(OSError, ValueError, ImportError, RuntimeError),
    *(LookupError, TypeError, struct.error),
)
"""What the library raises for a model that it cannot find or read, or that is damaged."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, in evaluation mode on its device.

    `label` is its name in records: that on the hub, or the own one of the folder or file; `digest`
    is of the weights, tokenizer and configuration; `context` is the maximum number of tokens, None
    if the files do not say.  Whoever computes with it holds the `lock`.
    """

    network: Any
    tokenizer: Any
    kind: Kind
    label: str
    digest: str
    context: int | None
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a model is: `place` is a folder, or a name on the hub.

    `label` is that of `LoadedModel`; `digest` is of the files, on the hub the commit; `quantised`
    weights were in no number format before they were put into the folder.
    """

    place: str
    is_local: bool
    label: str
    digest: str
    quantised: bool = False


def load(model: str, *, kind: str, dtype: str, device: str | None) -> LoadedModel:
    """Load a model and its tokenizer; code that comes with a model is never run.

    `model` is a folder, a GGUF file, ``package:NAME`` for the GGUF file in an installed Python
    package, or a name on the Hugging Face hub; the default device is a GPU if there is one, else
    the CPU.  The last model stays in memory: who loads it again, unchanged, gets the same.

    Raises
    ------
    MissingExtraError
        If `torch` or `transformers` is not installed, or for a GGUF file `gguf` or `accelerate`.
    ConfigError
        If the device is not available.
    ModelError
        If the model is not found or cannot be loaded, with the library's message.
    """
    _require("torch", "transformers")
    chosen = _device(device)
    with _load_errors(model):
        with _quiet(bars=False):
            origin = _find(model)
        with _quiet(bars=not origin.is_local):
            return _load(origin, model, kind, dtype, chosen)


def _find(model: str) -> _Origin:
    gguf = find_gguf(model)
    if gguf is not None:
        _require("gguf", "accelerate")
        place, label = str(converted(gguf, model)), Path(gguf.name).stem
        return _Origin(place, True, label, digest_of(gguf.parts), quantised=True)
    found = _folder(model)
    if found is None:
        return _Origin(model, False, model, _commit(model))
    files = sorted(path for path in found.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    return _Origin(str(found), True, found.name, digest_of(files))


@lru_cache(maxsize=1)
def _load(origin: _Origin, model: str, kind: str, dtype: str, device: Any) -> LoadedModel:
    import transformers

    given: dict[str, Any] = {"trust_remote_code": False}
    given |= {"local_files_only": True} if origin.is_local else {"revision": origin.digest}
    config = transformers.AutoConfig.from_pretrained(origin.place, **given)
    found = find_kind(config, model) if kind == "auto" else cast(Kind, kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(origin.place, **given)
    if dtype == "auto":
        dtype = _auto_dtype(config, device, origin.quantised)
    network = load_network(found, origin.place, model, config=config, dtype=dtype, **given)
    network.to(device).eval()
    context = _context(network, tokenizer)
    return LoadedModel(network, tokenizer, found, origin.label, origin.digest[:16], context)


def _auto_dtype(config: Any, device: Any, quantised: bool) -> str:
    """Return the number format for "auto": that of the files where the device is fast in it.

    A processor is slow in half precision, but for bfloat16 if it has instructions for that.
    """
    import torch

    if device.type == "cpu" and (quantised or config.dtype in (torch.bfloat16, torch.float16)):
        has_bfloat16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return "bfloat16" if has_bfloat16 else "float32"
    return "bfloat16" if quantised else "auto"


def _require(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, "hf")


def _device(device: str | None) -> Any:
    import torch

    for name in _GPUS if device is None else ():
        with suppress(*_NO_DEVICE):
            return torch.empty(0, device=name).device
    try:
        return torch.empty(0, device=device).device
    except _NO_DEVICE as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"lm.device = {device!r} cannot be used: {reason}; use 'cpu', 'cuda' or leave it out"
        ) from error


def _folder(model: str) -> Path | None:
    """Folder that a model's name refers to, or None for a name on the hub.

    What looks like a path is never sent to the hub, which would learn the names of local folders.
    """
    path = without_tilde(model)
    if path.is_dir():
        return path.resolve()
    is_path = path.is_absolute() or model.startswith((".", "~")) or "\\" in model
    if is_path or len(path.parts) > 2 or (len(path.parts) == 2 and path.parent.is_dir()):
        raise ModelError(
            f"lm.model = {model!r}: there is no such folder; give the folder with the model's "
            "config.json, or a name on the hub such as 'owner/name'",
            provider=PROVIDER,
        )
    return None


def _commit(model: str) -> str:
    """Commit of a model on the hub, or of its local copy if the hub cannot be reached."""
    from transformers.utils.hub import cached_file

    return Path(str(cached_file(model, "config.json"))).parent.name


def _context(network: Any, tokenizer: Any) -> int | None:
    """Maximum number of tokens, as far as configuration, embeddings and tokenizer say."""
    config = network.config.get_text_config(decoder=True)
    limits = [getattr(config, "max_position_embeddings", None)]
    if config.model_type in ("t5", "mt5", "umt5", "longt5"):
        limits = []
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None):
            limits.append(module.num_embeddings - module.padding_idx - 1)
    limits.append(tokenizer.model_max_length)
    sane = [int(limit) for limit in limits if limit and 0 < limit < 1 << 30]
    return min(sane, default=None)


@contextmanager
def _load_errors(model: str) -> Iterator[None]:
    try:
        yield
    except _NOT_LOADED as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"lm.model = {model!r} cannot be loaded: {said}; check the name, and that the folder "
            "holds config.json, weights and tokeniser, or the file is whole and of an architecture "
            "that transformers reads",
            provider=PROVIDER,
        ) from error


@contextmanager
def _quiet(*, bars: bool) -> Iterator[None]:
    """Silence the library's messages, and its progress bars unless they are wanted."""
    from transformers.utils import logging

    verbosity, enabled = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if enabled:
            logging.enable_progress_bar()
