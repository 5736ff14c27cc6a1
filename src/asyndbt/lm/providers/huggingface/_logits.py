"""Logits where they are needed, and log-probabilities of labels from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyndbt.lm.providers.huggingface._tokens import Tokens

__all__ = ["logits_at", "summed"]


def logits_at(network: Any, positions: Any, **inputs: Any) -> Any:
    """Logits of a model at some positions of every row.

    The head of a language model is as wide as the vocabulary, so what leaves the body is cut to
    the positions first.  Where a model's forward does not call its body as one module, everything
    is computed and cut afterwards.

    Parameters
    ----------
    network
        A model of the `transformers` library.
    positions : torch.Tensor
        Indices of shape (rows, positions).
    **inputs
        Arguments of the model.

    Returns
    -------
    torch.Tensor
        float32 of shape (rows, positions, vocabulary).
    """
    body, cut = network.base_model, False

    def cut_states(module: Any, arguments: Any, output: Any) -> Any:
        nonlocal cut
        if hasattr(output, "last_hidden_state"):
            output.last_hidden_state = _take(output.last_hidden_state, positions)
            cut = True
        return output

    if body is network:
        return _take(network(**inputs).logits, positions).float()
    hook = body.register_forward_hook(cut_states)
    try:
        logits = network(**inputs).logits
    finally:
        hook.remove()
    return (logits if cut else _take(logits, positions)).float()


def _take(states: Any, positions: Any) -> Any:
    """Entries of shape (rows, positions, width) out of (rows, length, width)."""
    return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))


def summed(logits: Any, labels: Sequence[Tokens]) -> Any:
    """Sum of the log-probabilities of every label's tokens.

    Parameters
    ----------
    logits : torch.Tensor
        Shape (rows, positions, vocabulary); the j-th token of a label is read at position j.
    labels : sequence of tuple of int
        Tokens of every label, not empty.

    Returns
    -------
    torch.Tensor
        Shape (rows, labels).
    """
    import torch

    total = logits.logsumexp(-1)
    columns = [
        sum(logits[:, place, token] - total[:, place] for place, token in enumerate(label))
        for label in labels
    ]
    return torch.stack(columns, dim=1)
