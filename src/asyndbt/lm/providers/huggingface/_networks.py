"""Language models of the `transformers` library by their kind, loaded with all their weights."""

from __future__ import annotations

from typing import Any, Final, Literal

from asyndbt.errors import ModelError

PROVIDER: Final = "huggingface"

Kind = Literal["causal", "masked", "seq2seq"]


def find_kind(config: Any, model: str) -> Kind:
    """Return the kind that a configuration describes; `model` is its name in errors.

    Raises
    ------
    ModelError
        If it describes no language model.
    """
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


def load_network(kind: Kind, place: str, model: str, **options: Any) -> Any:
    """Load a network with all its weights, from safetensors or GGUF: neither can hold code.

    Parameters
    ----------
    place : str
        A folder, or a name on the Hugging Face hub.
    model : str
        Its name in errors.
    **options
        Of the library's ``from_pretrained``.

    Raises
    ------
    ModelError
        If its files lack weights, which the library would fill in at random.
    """
    import transformers

    maker = {
        "causal": transformers.AutoModelForCausalLM,
        "masked": transformers.AutoModelForMaskedLM,
        "seq2seq": transformers.AutoModelForSeq2SeqLM,
    }[kind]
    network, report = maker.from_pretrained(
        place, output_loading_info=True, use_safetensors=True, **options
    )
    if report["missing_keys"]:
        raise ModelError(
            f"lm.model = {model!r} is no {kind} language model: its files lack the weights "
            f"{', '.join(sorted(report['missing_keys'])[:3])}; use another model or lm.kind",
            provider=PROVIDER,
        )
    return network
