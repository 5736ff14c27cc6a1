"""From a folder or a name on the hub to a model in memory, or an error that says why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from asyndbt.errors import ConfigError, MissingExtraError, ModelError

__all__ = ["PROVIDER", "Kind", "Loaded", "load"]

PROVIDER: Final = "huggingface"

Kind = Literal["causal", "masked", "seq2seq"]

_SUFFIXES: Final = frozenset({".json", ".safetensors", ".bin", ".model", ".txt", ".jinja"})
"""Files that say what a model answers: configuration, weights, tokeniser."""

_EDGE: Final = 1 << 20
"""Bytes read at either end of a file for its digest."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory.

    Parameters
    ----------
    network, tokenizer
        Objects of the `transformers` library; the network is in evaluation mode on its device.
    kind : {"causal", "masked", "seq2seq"}
    label : str
        How the model is called in records: the name on the hub, or the folder's own name.
    digest : str
        Changes with the weights, the tokeniser and the configuration.
    context : int or None
        Most tokens that the model reads; None where its files do not say.
    """

    network: Any
    tokenizer: Any
    kind: Kind
    label: str
    digest: str
    context: int | None


def load(model: str, *, kind: str, dtype: str, device: str | None) -> Loaded:
    """Load a model and its tokeniser; code that comes with a model is never run.

    Parameters
    ----------
    model : str
        A folder, or a name on the Hugging Face hub.
    kind : {"auto", "causal", "masked", "seq2seq"}
    dtype : {"auto", "float32", "bfloat16", "float16"}
    device : str or None
        None is a GPU if there is one, else the processor.

    Raises
    ------
    MissingExtraError
        If `torch` or `transformers` is not installed.
    ConfigError
        If there is no such kind, dtype or device.
    ModelError
        If the model is not there or cannot be loaded, in the library's words.
    """
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "hf")
    if kind not in ("auto", *get_args(Kind)):
        raise ConfigError(f"lm.kind = {kind!r}: the choices are auto, {', '.join(get_args(Kind))}")
    if dtype not in ("auto", "float32", "bfloat16", "float16"):
        raise ConfigError(f"lm.dtype = {dtype!r}: choose auto, float32, bfloat16 or float16")
    place = _device(device)
    folder = _folder(model)
    with _in_the_librarys_words(model), _quiet(folder is not None):
        return _load(model if folder is None else str(folder), folder, kind, dtype, place)


def _load(model: str, folder: Path | None, kind: str, dtype: str, device: Any) -> Loaded:
    import transformers

    origin: dict[str, Any] = {"trust_remote_code": False}
    if folder is None:
        commit = _commit(model)
        origin["revision"] = commit
        digest = commit[:16]
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
    return Loaded(network, tokenizer, found, label, digest, _context(network, tokenizer))


def _device(device: str | None) -> Any:
    import torch

    if device is None:
        gpu = torch.accelerator.current_accelerator(check_available=True)
        return gpu or torch.device("cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"lm.device = {device!r} cannot be used: {reason}; use 'cpu', 'cuda' or leave it out"
        ) from error


def _folder(model: str) -> Path | None:
    """Folder that a model's name means, or None for a name on the hub.

    What looks like a path never goes to the hub: it would be told the names of folders here.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve()
    parts = path.parts
    beside = len(parts) == 2 and path.parent.is_dir()
    if path.is_absolute() or model.startswith((".", "~")) or "\\" in model or len(parts) > 2:
        beside = True
    if beside:
        raise ModelError(
            f"lm.model = {model!r}: there is no such folder; give the folder with the model's "
            "config.json, or a name on the hub such as 'owner/name'",
            provider=PROVIDER,
        )
    return None


def _commit(model: str) -> str:
    """Commit of a model on the hub, or of its copy here when the hub cannot be reached."""
    from transformers.utils.hub import cached_file

    return Path(str(cached_file(model, "config.json"))).parent.name


def _digest(folder: Path) -> str:
    """Digest of names, sizes, first and last bytes of a model's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in _SUFFIXES or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_EDGE))
            file.seek(max(0, size - _EDGE))
            digest.update(file.read(_EDGE))
    return digest.hexdigest()[:16]


def _kind(config: Any, model: str) -> Kind:
    """Kind of a model by its configuration: by its architecture, else by its family."""
    from transformers.models.auto import modeling_auto as known

    classes: dict[Kind, Any] = {
        "seq2seq": known.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        "causal": known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "masked": known.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    }
    for architecture in config.architectures or ():
        for kind, names in classes.items():
            if architecture == names.get(config.model_type):
                return kind
    order: list[Kind] = ["masked", "causal"]
    if getattr(config, "is_decoder", False):
        order.reverse()
    if getattr(config, "is_encoder_decoder", False):
        order = ["seq2seq"]
    for kind in order:
        if config.model_type in classes[kind]:
            return kind
    raise ModelError(
        f"lm.model = {model!r} is a {config.model_type!r} model, not one that writes or fills in "
        "text; use another one, or set lm.kind",
        provider=PROVIDER,
    )


def _context(network: Any, tokenizer: Any) -> int | None:
    """Most tokens that a model reads, as far as its files and tables say."""
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
def _in_the_librarys_words(model: str) -> Iterator[None]:
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
    """Keep the library's reports off the screen; the progress of a download stays on it."""
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
