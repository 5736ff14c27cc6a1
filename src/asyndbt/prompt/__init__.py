"""Prompts: how they are rendered, which words they choose from, and what the user takes away."""

from asyndbt.prompt._ngrams import agree, pmi_ngrams, propose, reveal
from asyndbt.prompt._rendering import block_template, fold, render
from asyndbt.prompt._tuned_prompt import TunedPrompt
from asyndbt.prompt._vocabulary import load_vocabulary

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
