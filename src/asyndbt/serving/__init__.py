"""Tuned prompts as an OpenAI-compatible endpoint."""

from asyndbt.serving._server import PromptServer

__all__ = ["PromptServer"]
