"""Prompts: rendering, vocabularies of the fragment, and the tuned prompt."""

from asyndbt.prompt._nearest import (
    Demonstration,
    Nearest,
    examples_in,
    shown_to,
    with_nearest,
)
from asyndbt.prompt._ngrams import pmi_ngrams
from asyndbt.prompt._rendering import block_template, escaped, fold, render, render_all
from asyndbt.prompt._tuned_prompt import TunedPrompt
from asyndbt.prompt._vectors import TFIDF, Vectors, nearest_rows
from asyndbt.prompt._vocabulary import (
    LONGEST_ENTRY,
    load_vocabulary,
    read_entries,
    repeated_entries,
)

__all__ = [
    "LONGEST_ENTRY",
    "TFIDF",
    "Demonstration",
    "Nearest",
    "TunedPrompt",
    "Vectors",
    "block_template",
    "escaped",
    "examples_in",
    "fold",
    "load_vocabulary",
    "nearest_rows",
    "pmi_ngrams",
    "read_entries",
    "render",
    "render_all",
    "repeated_entries",
    "shown_to",
    "with_nearest",
]
