"""Reports: one self-contained HTML page on a run, two or a study, from their record alone."""

from asyndbt.report._page import build_comparison, build_page, serve_page

__all__ = ["build_comparison", "build_page", "serve_page"]
