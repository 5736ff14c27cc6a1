"""Hints that a language model writes: what it is asked, what may leave a site, what sites share."""

from asyndbt.hints._overlap import LocalTexts
from asyndbt.hints._pooling import pool_files, pool_hints
from asyndbt.hints._reading import read_hints
from asyndbt.hints._request import Mistake, hints_prompt

__all__ = ["LocalTexts", "Mistake", "hints_prompt", "pool_files", "pool_hints", "read_hints"]
