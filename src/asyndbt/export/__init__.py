"""A site's tuned prompt as a file for other tools, with the bytes that were scored."""

from asyndbt.export._export import Export, export_prompt
from asyndbt.export._formats import FORMATS

__all__ = ["FORMATS", "Export", "export_prompt"]
