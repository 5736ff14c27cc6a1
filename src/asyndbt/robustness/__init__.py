"""Sites that lie, to find out what they cost the honest ones."""

from asyndbt.robustness._attacks import ATTACKS, with_liars
from asyndbt.robustness._data import flip_labels
from asyndbt.robustness._liar import Liar, Ring
from asyndbt.robustness._sybil import with_sybils

__all__ = ["ATTACKS", "Liar", "Ring", "flip_labels", "with_liars", "with_sybils"]
