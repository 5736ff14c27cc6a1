"""Across machines: the processes around a coordinator and a site, and what carries bytes there."""
