"""Values of cutting planes and their pulls on workers and consensus.

ADBO (Jiao et al., ICLR 2023, arXiv 2212.10048, section 3.2): in the Lagrangian plane l at position
i stands as ``lambda_l (sum_v (a_lv . p_i^(v) + shares_lv) + b_l . z_i + c_l)``; the pulls are the
gradients of the sum over planes.

Departures:

* ``a_v . p_i^(v) + shares_v`` is kept for every worker (`Planes.products`) and renewed only for
  those who reported, so that a server step does not read all signs again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim.planes import Planes
from asyndbt.optim.types import FloatArray, IntArray

__all__ = [
    "pull_on_consensus",
    "pull_on_workers",
    "renew_products",
    "standing_values",
    "values",
]


def renew_products(planes: Planes, p_all: FloatArray, workers: IntArray) -> Planes:
    """Return `planes` with the products of the workers at these indices taken at their new p.

    Parameters
    ----------
    planes : Planes
    p_all : FloatArray
        (W, M, N) every worker's last policy; only those of `workers` are read.
    workers : IntArray
        Indices of the workers whose policy is new.
    """
    if len(planes) == 0:
        return planes
    fresh = np.empty((len(planes), workers.size))
    signs = np.empty((workers.size, planes.sizes[1]))
    # Position by position: its policies stay in the processor's cache for all of its planes.
    for position in np.unique(planes.position):
        policies = p_all[workers, position]
        for plane in np.flatnonzero(planes.position == position):
            signs[...] = np.take(planes.a[plane], workers, axis=0)
            np.einsum("wn,wn->w", signs, policies, out=fresh[plane])
    products = planes.products.copy()
    products[:, workers] = fresh + planes.shares[:, workers]
    return replace(planes, products=products)


def standing_values(planes: Planes, z: FloatArray, live: NDArray[np.bool_]) -> FloatArray:
    """Return (L,) ``sum_v products_v + b . z_i + c`` over the live workers; > 0 where violated.

    Workers are summed in their fixed order, so the order of arrival cannot change a digit.

    Parameters
    ----------
    planes : Planes
    z : FloatArray
        (M, N) consensus.
    live : NDArray[np.bool_]
        (W,) workers that count.
    """
    own = planes.products if live.all() else planes.products[:, live]
    totals: FloatArray = own.sum(axis=1) + planes.c
    totals += np.einsum("ln,ln->l", planes.b, z[planes.position])
    return totals


def values(planes: Planes, p_all: FloatArray, z: FloatArray) -> FloatArray:
    """Return (L,) ``sum_v (a_v . p_i^(v) + shares_v) + b . z_i + c`` at any point.

    Parameters
    ----------
    planes : Planes
    p_all, z : FloatArray
        (W, M, N) and (M, N).
    """
    workers = np.arange(p_all.shape[0])
    everyone = np.ones(p_all.shape[0], dtype=np.bool_)
    return standing_values(renew_products(planes, p_all, workers), z, everyone)


def pull_on_workers(planes: Planes, workers: IntArray) -> FloatArray:
    """Return (len(workers), M, N) ``sum_l lambda^l a^l(v)`` of the workers at these indices."""
    workers = np.asarray(workers, dtype=np.int64)
    positions, words = planes.sizes
    pulls = np.zeros((workers.size, positions, words))
    for plane in np.flatnonzero(planes.multipliers):
        signs = np.take(planes.a[plane], workers, axis=0)
        pulls[:, planes.position[plane]] += planes.multipliers[plane] * signs
    return pulls


def pull_on_consensus(planes: Planes) -> FloatArray:
    """Return (M, N) ``sum_l lambda^l b^l``."""
    pull = np.zeros(planes.sizes)
    np.add.at(pull, planes.position, planes.multipliers[:, None] * planes.b)
    return pull
