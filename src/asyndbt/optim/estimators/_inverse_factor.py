"""Linear systems with a matrix that grows by rows and columns.

Of a positive definite ``A = L L'``, L its Cholesky factor, ``W = L^-1`` is kept: then
``A^-1 b = W' (W b)``, and the rows that W gains when A grows by k cost O(n^2 k). W is kept in place
of L because a product needs no triangular solver, which NumPy lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np

from asyndbt.optim._types import FloatArray

_WHOLE = 64
"""Up to this size a matrix is factorised in one piece."""


@dataclass(frozen=True, slots=True)
class InverseFactor:
    """The lower triangular `rows` W (n, n) with ``W A W' = I``."""

    rows: FloatArray

    @classmethod
    def empty(cls) -> InverseFactor:
        """Return the factor of the matrix of size 0."""
        return cls(np.empty((0, 0)))

    @classmethod
    def of(cls, matrix: FloatArray) -> InverseFactor:
        """Return the factor of a positive definite matrix."""
        if len(matrix) <= _WHOLE:
            return cls(np.tril(np.linalg.inv(np.linalg.cholesky(matrix))))
        half = len(matrix) // 2
        first = cls.of(matrix[:half, :half])
        return first.extended(matrix[half:, :half], matrix[half:, half:])

    @classmethod
    def from_packed(cls, packed: FloatArray) -> InverseFactor:
        """Return what `packed` stored."""
        size = (isqrt(8 * len(packed) + 1) - 1) // 2
        rows = np.zeros((size, size))
        rows[np.tri(size, dtype=bool)] = packed
        return cls(rows)

    def packed(self) -> FloatArray:
        """Return the (n (n + 1) / 2,) entries that need not be zero, row by row."""
        entries: FloatArray = self.rows[np.tri(len(self), dtype=bool)]
        return entries

    def __len__(self) -> int:
        return len(self.rows)

    def extended(self, beside: FloatArray, own: FloatArray) -> InverseFactor:
        """Return the factor of ``[[A, beside'], [beside, own]]``, beside (k, n) and own (k, k)."""
        if not len(own):
            return self
        size = len(self)
        below = beside @ self.rows.T
        corner = InverseFactor.of(own - below @ below.T).rows
        rows = np.zeros((size + len(own), size + len(own)))
        rows[:size, :size] = self.rows
        rows[size:, :size] = -(corner @ below) @ self.rows
        rows[size:, size:] = corner
        return InverseFactor(rows)

    def whitened(self, columns: FloatArray) -> FloatArray:
        """Return ``W b``, whose square is ``b' A^-1 b``."""
        product: FloatArray = self.rows @ columns
        return product

    def solution(self, columns: FloatArray) -> FloatArray:
        """Return ``A^-1 b``."""
        product: FloatArray = self.rows.T @ self.whitened(columns)
        return product
