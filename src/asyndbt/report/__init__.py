"""Reports: one self-contained HTML page on a run or a study, from its record alone."""

from asyndbt.report._page import build_page, serve_page

__all__ = ["build_page", "serve_page"]
