"""Exact samples of the discrete Gaussian, from integers alone (Canonne, Kamath, Steinke 2020).

Noise of floating-point numbers has gaps between its values that tell what was hidden under it
(Mironov, CCS 2012). Integers have none: what is proved of the distribution holds of its samples.
"""

from __future__ import annotations

from random import Random


def discrete_gaussian(sigma: int, rng: Random) -> int:
    """Return an integer x with probability in proportion to ``exp(-x^2 / (2 sigma^2))``.

    Parameters
    ----------
    sigma : int
        At least 1.
    rng : Random
        `random.SystemRandom`, where nobody may guess the sample.
    """
    scale = sigma + 1
    while True:
        x = _discrete_laplace(scale, rng)
        # (|x| - sigma^2 / scale)^2 / (2 sigma^2), as a fraction.
        top = (abs(x) * scale - sigma**2) ** 2
        if _happens_exp(top, 2 * sigma**2 * scale**2, rng):
            return x


def _discrete_laplace(scale: int, rng: Random) -> int:
    """Return an integer x with probability in proportion to ``exp(-|x| / scale)``."""
    while True:
        low = rng.randrange(scale)
        if not _happens_exp(low, scale, rng):
            continue
        high = 0
        while _happens_exp(1, 1, rng):
            high += 1
        size, negative = low + scale * high, rng.randrange(2)
        if size or not negative:
            return -size if negative else size


def _happens_exp(top: int, bottom: int, rng: Random) -> bool:
    """Return True with probability ``exp(-top / bottom)``."""
    while top > bottom:
        if not _happens_exp(1, 1, rng):
            return False
        top -= bottom
    tries = 1
    while rng.randrange(bottom * tries) < top:
        tries += 1
    return tries % 2 == 1
