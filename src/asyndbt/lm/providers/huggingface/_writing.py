"""Texts that a model of the `transformers` library writes, always its most probable token."""

from __future__ import annotations

from asyndbt.lm.providers.huggingface._loading import LoadedModel
from asyndbt.lm.providers.huggingface._tokenization import Tokens


def write(loaded: LoadedModel, prompt: Tokens, most_tokens: int) -> tuple[str, int]:
    """Return what a causal model or an encoder-decoder writes, and how many tokens that is.

    Whoever calls holds the lock of the model.
    """
    import torch

    network, tokenizer = loaded.network, loaded.tokenizer
    read = torch.tensor([prompt], device=network.device)
    ends = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    written = network.generate(
        input_ids=read,
        attention_mask=torch.ones_like(read),
        max_new_tokens=most_tokens,
        pad_token_id=ends,
        # What a model's files say of sampling would make its texts a matter of chance.
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
    )[0]
    own = written if loaded.kind == "seq2seq" else written[len(prompt) :]
    return tokenizer.decode(own, skip_special_tokens=True), len(own)
