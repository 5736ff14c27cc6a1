"""Reports: one self-contained HTML page on a run or a study, from its record alone."""

from asyndbt.report.page import build_page
from asyndbt.report.watch import serve_page

__all__ = ["build_page", "serve_page"]
