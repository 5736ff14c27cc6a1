"""Cutting planes that stand in for the lower-level problem.

ADBO (Jiao et al., ICLR 2023, arXiv 2212.10048, section 3.2) and Ma et al., Scientific Reports
16:9381 (2026), Algorithm 1. At position i the lower level asks that

    h_i(x) = sum_v ||p_i^(v) - phi_i^(v)||_1 + ||z_i - phi_i^z||_1  <=  eps.

h is convex, so at a point x0 with h(x0) > eps the plane ``h(x0) + s.(x - x0) <= eps`` with
``s = sign(x0 - phi)`` cuts x0 off and keeps every x that satisfies h(x) <= eps.

In the Lagrangian, plane l at position i enters as
``lambda_l (sum_v (a_lv . p_i^(v) + shares_lv) + b_l . z_i + c_l)``; the pulls on workers and
consensus are the gradients of the sum over planes.

Departures:

* The constant includes eps; without it (the paper's equation 33) feasible points are cut.
* Signs are int8, an eighth of the memory and of the traffic.
* ``h(x0) = s.(x0 - phi)``, so the constant is a sum of one share per worker, ``-s^(v).phi^(v)``,
  kept separately. A worker that is declared gone leaves with its signs and its share, and the plane
  still keeps every feasible point of the remaining workers.
* ``a_v . p_i^(v) + shares_v`` is cached (`Planes.products`) and refreshed only for workers that
  reported, so that a server step does not read all signs again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.optim._types import Arrays, FloatArray, IntArray

SignArray = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Planes:
    """All L planes, in the order in which they were added.

    Plane l is ``sum_v (a_lv . p_i^(v) + shares_lv) + b_l . z_i + c_l <= 0``, ``i = position_l``.

    Parameters
    ----------
    sizes : tuple of int
        (M, N): positions and words.
    position : IntArray
        (L,) position of each plane.
    a : NDArray[np.int8]
        (L, W, N) signs on the workers' policies.
    b : NDArray[np.int8]
        (L, N) signs on the consensus.
    c : FloatArray
        (L,) ``-b.phi^z - eps``.
    shares : FloatArray
        (L, W) ``-a_v.phi^(v)``, the workers' parts of the constant.
    products : FloatArray
        (L, W) ``a_v . p_i^(v) + shares_v`` at every worker's last policy.
    multipliers : FloatArray
        (L,) lambda, not negative.
    """

    sizes: tuple[int, int]
    position: IntArray
    a: SignArray
    b: SignArray
    c: FloatArray
    shares: FloatArray
    products: FloatArray
    multipliers: FloatArray

    @classmethod
    def empty(cls, positions: int, words: int, workers: int) -> Planes:
        """Return no planes for an (M, N) policy and W workers."""
        return cls(
            sizes=(positions, words),
            position=np.empty(0, dtype=np.int64),
            a=np.empty((0, workers, words), dtype=np.int8),
            b=np.empty((0, words), dtype=np.int8),
            c=np.empty(0),
            shares=np.empty((0, workers)),
            products=np.empty((0, workers)),
            multipliers=np.empty(0),
        )

    def __len__(self) -> int:
        return int(self.position.size)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the fields as arrays, for a checkpoint."""
        return {"sizes": np.array(self.sizes, dtype=np.int64), **self.rows()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Planes:
        """Return the planes that `arrays` came from."""
        own: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
        return cls(**own | {"sizes": tuple(own["sizes"].tolist())})

    def rows(self) -> dict[str, NDArray[Any]]:
        """Return the fields that have a row for each plane."""
        return {field.name: getattr(self, field.name) for field in fields(self)[1:]}


def violation(p_all: FloatArray, z: FloatArray, phi_p: FloatArray, phi_z: FloatArray) -> FloatArray:
    """Return (M,) ``h_i = sum_v ||p_i^(v) - phi_i^(v)||_1 + ||z_i - phi_i^z||_1``.

    Parameters
    ----------
    p_all, phi_p : FloatArray
        (W, M, N) policies and their lower-level estimate.
    z, phi_z : FloatArray
        (M, N) consensus and its lower-level estimate.
    """
    distances: FloatArray = np.abs(z - phi_z).sum(axis=1)
    for worker in range(p_all.shape[0]):
        distances += np.abs(p_all[worker] - phi_p[worker]).sum(axis=1)
    return distances


def add_planes(
    planes: Planes,
    p_all: FloatArray,
    z: FloatArray,
    phi_p: FloatArray,
    phi_z: FloatArray,
    eps: float,
) -> Planes:
    """Return `planes` with one more at each position where ``h_i > eps``, its multiplier zero.

    The plane at position i: ``a_v = sign(p_i^(v) - phi_i^(v))``, ``b = sign(z_i - phi_i^z)``,
    ``c + sum_v shares_v = h(x0) - s.x0 - eps = -s.phi - eps``. The arrays are as in `violation`;
    (p_all, z) is the point x0 to cut off.
    """
    cut = np.flatnonzero(violation(p_all, z, phi_p, phi_z) > eps)
    if cut.size == 0:
        return planes
    a = np.empty((cut.size, p_all.shape[0], z.shape[1]), dtype=np.int8)
    shares, products = np.empty(a.shape[:2]), np.empty(a.shape[:2])
    for row, position in enumerate(cut):
        target, policies = phi_p[:, position], p_all[:, position]
        signs = np.sign(policies - target)
        a[row] = signs
        shares[row] = -np.einsum("wn,wn->w", signs, target)
        products[row] = np.einsum("wn,wn->w", signs, policies) + shares[row]
    b = np.sign(z[cut] - phi_z[cut]).astype(np.int8)
    constants = -(b * phi_z[cut]).sum(axis=1) - eps
    added = Planes(planes.sizes, cut, a, b, constants, shares, products, np.zeros(cut.size))
    both = {name: np.concatenate([old, added.rows()[name]]) for name, old in planes.rows().items()}
    return Planes(planes.sizes, **both)


def drop_inactive(planes: Planes, previous_multipliers: FloatArray, gamma: float) -> Planes:
    """Return `planes` without those whose multiplier is <= gamma before and after an update.

    `planes` has the multipliers after the update, `previous_multipliers` (L,) are those before it.
    """
    kept = np.maximum(planes.multipliers, previous_multipliers) > gamma
    if kept.all():
        return planes
    return Planes(planes.sizes, **{name: rows[kept] for name, rows in planes.rows().items()})


def grow(planes: Planes, workers: int) -> Planes:
    """Return `planes` for `workers` more workers, whose signs and shares are zero.

    The planes still keep every feasible point: another worker only adds to h.
    """
    count, present, words = planes.a.shape
    a = np.zeros((count, present + workers, words), dtype=np.int8)
    a[:, :present] = planes.a
    unmoved = np.zeros((count, workers))
    return replace(
        planes,
        a=a,
        shares=np.concatenate([planes.shares, unmoved], axis=1),
        products=np.concatenate([planes.products, unmoved], axis=1),
    )


def refresh_products(planes: Planes, p_all: FloatArray, workers: IntArray) -> Planes:
    """Return `planes` with the products of these workers at their new policies in (W, M, N)."""
    if len(planes) == 0:
        return planes
    fresh = np.empty((len(planes), workers.size))
    signs = np.empty((workers.size, planes.sizes[1]))
    # Position by position, so that its policies stay in the processor's cache for all its planes.
    for position in np.unique(planes.position):
        policies = p_all[workers, position]
        for plane in np.flatnonzero(planes.position == position):
            signs[...] = np.take(planes.a[plane], workers, axis=0)
            np.einsum("wn,wn->w", signs, policies, out=fresh[plane])
    products = planes.products.copy()
    products[:, workers] = fresh + planes.shares[:, workers]
    return replace(planes, products=products)


def cached_values(planes: Planes, z: FloatArray, counted: NDArray[np.bool_]) -> FloatArray:
    """Return (L,) ``sum_v products_v + b . z_i + c``; > 0 where violated.

    Workers, of whom `counted` (W,) are in the sum, are summed in their fixed order, whatever the
    order of arrival; z is (M, N).
    """
    own = planes.products if counted.all() else planes.products[:, counted]
    totals: FloatArray = own.sum(axis=1) + planes.c
    totals += np.einsum("ln,ln->l", planes.b, z[planes.position])
    return totals


def plane_values(planes: Planes, p_all: FloatArray, z: FloatArray) -> FloatArray:
    """Return (L,) ``sum_v (a_v . p_i^(v) + shares_v) + b . z_i + c`` at p (W, M, N), z (M, N)."""
    workers = np.arange(p_all.shape[0])
    everyone = np.ones(p_all.shape[0], dtype=np.bool_)
    return cached_values(refresh_products(planes, p_all, workers), z, everyone)


def pull_on_workers(planes: Planes, workers: IntArray) -> FloatArray:
    """Return (len(workers), M, N) ``sum_l lambda^l a^l(v)`` of these workers."""
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
