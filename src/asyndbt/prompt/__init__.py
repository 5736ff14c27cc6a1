"""Prompts: how they are rendered, which words they choose from, and what the user takes away."""

from asyndbt.prompt.ngrams import agree, pmi_ngrams, propose, reveal
from asyndbt.prompt.rendering import block_template, fold, render
from asyndbt.prompt.tuned_prompt import TunedPrompt
from asyndbt.prompt.vocabulary import load_vocabulary

__all__ = [
    "TunedPrompt",
    "agree",
    "block_template",
    "fold",
    "load_vocabulary",
    "pmi_ngrams",
    "propose",
    "render",
    "reveal",
]
