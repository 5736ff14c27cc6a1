"""Loads a model and its tokenizer from a folder or from the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, cast

from asyndbt.errors import ConfigError, MissingExtraError, ModelError

PROVIDER: Final = "huggingface"

Kind = Literal["causal", "masked", "seq2seq"]

_SUFFIXES: Final = frozenset({".json", ".safetensors", ".bin", ".model", ".txt", ".jinja"})
"""Files that determine a model's answers: configuration, weights, tokenizer."""

_DIGEST_BYTES: Final = 1 << 20
"""Bytes read at either end of a file for its digest."""

_GPUS: Final = ("cuda", "xpu", "mps")

_NO_DEVICE: Final = (RuntimeError, AssertionError)
"""What `torch` raises for a device that it was not built for, or that is not there."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, in evaluation mode on its device.

    `label` is its name in records: that on the hub, or the folder's own; `digest` is of the
    weights, tokenizer and configuration; `context` is the maximum number of tokens, None if the
    files do not say.
    """

    network: Any
    tokenizer: Any
    kind: Kind
    label: str
    digest: str
    context: int | None


def load(model: str, *, kind: str, dtype: str, device: str | None) -> LoadedModel:
    """Load a model and its tokenizer; code that comes with a model is never run.

    `model` is a folder, or a name on the Hugging Face hub; the default device is a GPU if there is
    one, else the CPU.

    Raises
    ------
    MissingExtraError
        If `torch` or `transformers` is not installed.
    ConfigError
        If the device is not available.
    ModelError
        If the model is not found or cannot be loaded, with the library's message.
    """
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "hf")
    chosen = _device(device)
    folder = _folder(model)
    with _load_errors(model), _quiet(folder is not None):
        return _load(model if folder is None else str(folder), folder, kind, dtype, chosen)


def _load(model: str, folder: Path | None, kind: str, dtype: str, device: Any) -> LoadedModel:
    import transformers

    origin: dict[str, Any] = {"trust_remote_code": False}
    if folder is None:
        origin["revision"] = _commit(model)
        digest = origin["revision"][:16]
    else:
        origin["local_files_only"] = True
        digest = _digest(folder)
    config = transformers.AutoConfig.from_pretrained(model, **origin)
    found = _kind(config, model) if kind == "auto" else cast(Kind, kind)
    maker = {
        "causal": transformers.AutoModelForCausalLM,
        "masked": transformers.AutoModelForMaskedLM,
        "seq2seq": transformers.AutoModelForSeq2SeqLM,
    }[found]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model, **origin)
    network, report = maker.from_pretrained(
        model, config=config, dtype=dtype, output_loading_info=True, **origin
    )
    if report["missing_keys"]:
        raise ModelError(
            f"lm.model = {model!r} is no {found} language model: its files lack the weights "
            f"{', '.join(sorted(report['missing_keys'])[:3])}; use another model or lm.kind",
            provider=PROVIDER,
        )
    network.to(device).eval()
    label = model if folder is None else folder.name
    return LoadedModel(network, tokenizer, found, label, digest, _context(network, tokenizer))


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
    path = Path(model).expanduser()
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


def _digest(folder: Path) -> str:
    """Digest of the names, sizes, first and last bytes of a model's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in _SUFFIXES or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_DIGEST_BYTES))
            file.seek(max(0, size - _DIGEST_BYTES))
            digest.update(file.read(_DIGEST_BYTES))
    return digest.hexdigest()[:16]


def _kind(config: Any, model: str) -> Kind:
    import transformers

    classes: dict[Kind, Any] = {
        "seq2seq": transformers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        "causal": transformers.MODEL_FOR_CAUSAL_LM_MAPPING,
        "masked": transformers.MODEL_FOR_MASKED_LM_MAPPING,
    }
    possible = [kind for kind, mapping in classes.items() if type(config) in mapping]
    for architecture in config.architectures or ():
        for kind in possible:
            if architecture == classes[kind][type(config)].__name__:
                return kind
    order: list[Kind] = ["masked", "causal"]
    if getattr(config, "is_decoder", False):
        order.reverse()
    if getattr(config, "is_encoder_decoder", False):
        order = ["seq2seq"]
    for kind in order:
        if kind in possible:
            return kind
    raise ModelError(
        f"lm.model = {model!r} is a {config.model_type!r} model, not one that writes or fills in "
        "text; use another one, or set lm.kind",
        provider=PROVIDER,
    )


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
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"lm.model = {model!r} cannot be loaded: {said}; check the name, and that the folder "
            "holds config.json, weights and tokeniser",
            provider=PROVIDER,
        ) from error


@contextmanager
def _quiet(local: bool) -> Iterator[None]:
    """Silence the library's messages, but for the progress of a download."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if local:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
