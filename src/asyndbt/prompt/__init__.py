"""Prompts: rendering, vocabularies of the fragment, and the tuned prompt."""

from asyndbt.prompt._ngrams import pmi_ngrams
from asyndbt.prompt._rendering import block_template, escaped, fold, render, render_all
from asyndbt.prompt._tuned_prompt import TunedPrompt
from asyndbt.prompt._vectors import TFIDF, Vectors, nearest_rows
from asyndbt.prompt._vocabulary import load_vocabulary, repeated_entries

__all__ = [
    "TFIDF",
    "TunedPrompt",
    "Vectors",
    "block_template",
    "escaped",
    "fold",
    "load_vocabulary",
    "nearest_rows",
    "pmi_ngrams",
    "render",
    "render_all",
    "repeated_entries",
]
