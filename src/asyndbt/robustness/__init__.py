"""Sites that lie, to find out what they cost the honest ones."""

from asyndbt.robustness._attacks import ATTACKS, with_liars
from asyndbt.robustness._labels import flip_labels
from asyndbt.robustness._liar import Liar, Ring

__all__ = ["ATTACKS", "Liar", "Ring", "flip_labels", "with_liars"]
