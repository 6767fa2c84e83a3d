"""A Cholesky factor that grows by rows and forgets its last ones."""

import numpy as np
from scipy.linalg import cholesky
from scipy.linalg.blas import dtrsm, dtrsv


class GrowingCholesky:
    """Lower factor L of a covariance matrix, extended block by block (thesis, eq. 2.18).

    With n old rows and k new ones, `L21 = K21 L11^-T` and `L22 = chol(K22 - L21 L21^T)`: a
    triangular solve of cost n^2 k and a factor of cost k^3. L^-1 is never made. The buffer is larger
    than L and the identity where nothing is stored, so that BLAS solves in place of L without a copy.

    Attributes:
        size: Number of rows.
    """

    GROWTH = 1.05

    def __init__(self, matrix=None):
        self.size = 0
        self._buffer = np.zeros((0, 0), order="F")
        if matrix is not None:
            self._reserve(len(matrix))
            self._buffer[: len(matrix), : len(matrix)] = cholesky(matrix, lower=True, check_finite=False)
            self.size = len(matrix)

    @property
    def factor(self):
        """View of L, `(size, size)`."""
        return self._buffer[: self.size, : self.size]

    def append(self, cross, own):
        """Extend by rows of the matrix.

        Args:
            cross: Array `(k, size)`, covariances of the new points with the old.
            own: Array `(k, k)`, of the new with themselves.

        Raises:
            numpy.linalg.LinAlgError: If the Schur block is not positive definite; nothing has
                changed then.
        """
        new = len(own)
        below = self.solve(cross.T).T
        corner = cholesky(own - below @ below.T, lower=True, check_finite=False)
        self._reserve(self.size + new)
        rows = slice(self.size, self.size + new)
        self._buffer[rows, : self.size] = below
        self._buffer[rows, rows] = corner
        self.size += new

    def drop(self, count):
        """Forget the last rows: L of what is left is a part of L.

        Args:
            count: Number of rows.
        """
        rows = slice(self.size - count, self.size)
        self._buffer[rows] = 0.0
        self._buffer[rows, rows] = np.eye(count)
        self.size -= count

    def solve(self, right):
        """`L^-1 right`.

        Args:
            right: Array `(size,)` or `(size, m)`.

        Returns:
            Array of the same shape.
        """
        columns = right[:, None] if right.ndim == 1 else right
        padded = np.zeros((len(self._buffer), columns.shape[1]), order="F")
        padded[: self.size] = columns
        if not self.size:
            return np.zeros(right.shape)
        if columns.shape[1] == 1:  # bound by memory: this one reads half as much
            padded = dtrsv(self._buffer, padded[:, 0], lower=1, overwrite_x=1)
        else:
            padded = dtrsm(1.0, self._buffer, padded, lower=1, overwrite_b=1)
        return padded[: self.size].reshape(right.shape)

    def _reserve(self, size):
        if size <= len(self._buffer):
            return
        capacity = max(int(self.GROWTH * size), size + 32)
        buffer = np.eye(capacity, order="F")
        buffer[: self.size, : self.size] = self.factor
        self._buffer = buffer
