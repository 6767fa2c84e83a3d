"""Gaussian process regression that takes new points without beginning afresh."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from app.tuning.cholesky import GrowingCholesky
from app.tuning.slice_sampling import slice_sample

LEARN_ON = 400  # the kernel's parameters do not need every point; time grows with the cube
JITTERS = (0.0, 1e-8, 1e-6, 1e-4)
# Mean and deviation of each parameter's logarithm, for standardised values and columns in [0, 1].
PRIORS = {
    "amplitude": (0.0, 1.0),
    "own": (0.0, 1.0),
    "particular": (np.log(0.3), 1.0),
    "common": (0.0, 1.0),
    "decay": (np.log(0.2), 1.0),
    "power": (0.0, 0.5),
    "noise": (np.log(0.1), 1.0),
}


class GaussianProcess:
    """Posterior of a function with zero mean from noisy values, in float64.

    The kernel's parameters are those of the highest marginal likelihood times log-normal priors,
    or are given. Points can be appended and the last ones dropped without a new factor.

    Args:
        kernel: `Kernel`.
        theta: Array of the logarithms of the kernel's parameters and the noise' deviation; None takes
            the priors' means.
        length: Median of the lengths' prior, for one column.

    Attributes:
        theta: The parameters in use.
        points: Array `(n, columns)`.
        values: Array `(n,)`.

    Reference:
        - Rasmussen and Williams, 2006, algorithm 2.1 and section 5.4.1.
        - Bertrand, thesis, 2019, sections 2.2.1 and 2.3.
    """

    def __init__(self, kernel, theta=None, length=0.5):
        self.kernel = kernel
        names = [*kernel.parameters, "noise"]
        columns = len(kernel.categorical)
        # Lengths grow with the root of the dimension, or everything is far from everything.
        length = (np.log(length) + 0.5 * np.log(columns), 1.0)
        self.prior_mean, self.prior_deviation = np.array([PRIORS.get(name, length) for name in names]).T
        self.theta = self.prior_mean.copy() if theta is None else np.asarray(theta, float)

    def fit(self, points, values):
        """Take points, with the parameters as they are.

        Args:
            points: Array `(n, columns)`.
            values: Array `(n,)`.

        Returns:
            The process itself.
        """
        self.points, self.values = np.asarray(points, float), np.asarray(values, float)
        self._refactor()
        return self

    def learn(self, points, values, rng, restarts=1):
        """Choose the parameters by the values, then take the points.

        Args:
            points: Array `(n, columns)`.
            values: Array `(n,)`.
            rng: `numpy.random.Generator`: draws the points to learn on, and further starts.
            restarts: Random starts beside the present parameters and the priors' means.

        Returns:
            The process itself.
        """
        on, at = self._some(points, values, rng)
        starts = [self.theta, self.prior_mean] if np.any(self.theta != self.prior_mean) else [self.theta]
        starts += [
            self.prior_mean + 0.5 * self.prior_deviation * rng.normal(size=len(self.theta)) for _ in range(restarts)
        ]
        low, high = self.prior_mean - 4 * self.prior_deviation, self.prior_mean + 4 * self.prior_deviation
        bounds = list(zip(low, high, strict=True))

        def cost(theta):
            density, gradient = self.log_posterior(theta, on, at)
            return -density, -gradient

        how = {"jac": True, "method": "L-BFGS-B", "bounds": bounds, "options": {"maxiter": 40}}
        solutions = [minimize(cost, np.clip(start, low, high), **how) for start in starts]
        self.theta = min(solutions, key=lambda solution: solution.fun).x
        return self.fit(points, values)

    def sample(self, points, values, rng, count=8, skip=4):
        """Processes whose parameters are draws from their posterior (thesis, eq. 2.12).

        Args:
            points: Array `(n, columns)`.
            values: Array `(n,)`.
            rng: `numpy.random.Generator`.
            count: Number of draws by slice sampling.
            skip: Sweeps before the first.

        Returns:
            List of `GaussianProcess`.
        """
        on, at = self._some(points, values, rng)
        draws = slice_sample(
            lambda theta: self.log_posterior(theta, on, at, gradient=False)[0], self.theta, rng, count, skip
        )
        return [GaussianProcess(self.kernel, theta).fit(points, values) for theta in draws]

    def append(self, points, values):
        """Take more points; the factor is extended.

        Args:
            points: Array `(k, columns)`.
            values: Array `(k,)`.
        """
        cross = self.kernel(points, self.points, self.theta[:-1])
        own = self.kernel(points, points, self.theta[:-1]) + self._noise() * np.eye(len(points))
        self.points = np.concatenate([self.points, points])
        self.values = np.concatenate([self.values, values])
        before = self.factor.size
        try:
            self.factor.append(cross, own)
        except np.linalg.LinAlgError:  # points so alike that rounding decides: a new factor with more jitter
            self._refactor()
            return
        new = self.factor.factor[before:]
        rest = np.asarray(values) - new[:, :before] @ self.whitened
        corner = solve_triangular(new[:, before:], rest, lower=True, check_finite=False)
        self.whitened = np.concatenate([self.whitened, corner])

    def drop(self, count):
        """Forget the last points.

        Args:
            count: Number of points.
        """
        self.factor.drop(count)
        left = len(self.points) - count
        self.points, self.values, self.whitened = self.points[:left], self.values[:left], self.whitened[:left]

    def predict(self, points):
        """Mean and deviation of the function, without the noise (thesis, eq. 2.7).

        Args:
            points: Array `(m, columns)`.

        Returns:
            Two arrays `(m,)`.
        """
        watched = Watched(self, points)
        return watched.mean, watched.deviation

    def log_posterior(self, theta, points, values, gradient=True):
        """Logarithm of marginal likelihood times prior, up to a constant (thesis, eq. 2.11).

        Args:
            theta: Array of logarithmic parameters, the noise last.
            points: Array `(n, columns)`.
            values: Array `(n,)`.
            gradient: Whether the gradient is wanted.

        Returns:
            Density and its gradient by theta (None if not wanted); -inf where the covariance has
            no factor.
        """
        noise = np.exp(2 * theta[-1])
        if gradient:
            covariance, derivatives = self.kernel.with_gradient(points, theta[:-1])
        else:
            covariance, derivatives = self.kernel(points, points, theta[:-1]), None
        covariance = covariance + (noise + 1e-10) * np.eye(len(points))
        try:
            factor = cholesky(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros_like(theta) if gradient else None
        inverse = dpotri(factor, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        weights = inverse @ values
        from_prior = (theta - self.prior_mean) / self.prior_deviation
        density = (
            -0.5 * values @ weights
            - np.log(np.diag(factor)).sum()
            - 0.5 * len(values) * np.log(2 * np.pi)
            - 0.5 * from_prior @ from_prior
        )
        if not gradient:
            return density, None
        outer = np.outer(weights, weights) - inverse
        by_theta = [0.5 * np.vdot(outer, derivative) for derivative in derivatives]
        by_theta.append(noise * np.trace(outer))
        return density, np.array(by_theta) - from_prior / self.prior_deviation

    def _noise(self):
        return np.exp(2 * self.theta[-1]) + 1e-10 + self._jitter

    def _refactor(self):
        covariance = self.kernel(self.points, self.points, self.theta[:-1])
        for jitter in JITTERS:
            self._jitter = jitter * np.exp(2 * self.theta[0])
            try:
                self.factor = GrowingCholesky(covariance + self._noise() * np.eye(len(self.points)))
                break
            except np.linalg.LinAlgError:
                continue
        self.whitened = self.factor.solve(self.values)

    def _some(self, points, values, rng):
        if len(points) <= LEARN_ON:
            return np.asarray(points, float), np.asarray(values, float)
        chosen = rng.choice(len(points), LEARN_ON, replace=False)
        return np.asarray(points)[chosen], np.asarray(values)[chosen]


class Watched:
    """Predictions at fixed points that follow what is added to a process.

    An appended point costs one row, `n m`, instead of a new solve, `n^2 m`.

    Args:
        process: `GaussianProcess` with points.
        points: Array `(m, columns)`.

    Attributes:
        mean: Array `(m,)`.
    """

    def __init__(self, process, points):
        self.process = process
        self.points = np.asarray(points, float)
        solved = process.factor.solve(process.kernel(process.points, self.points, process.theta[:-1]))
        self.mean = solved.T @ process.whitened
        prior = process.kernel.diagonal(self.points, process.theta[:-1])
        self._variance = prior - np.einsum("nm,nm->m", solved, solved)
        self._rows = len(solved)
        self._solved = solved

    @property
    def deviation(self):
        """Array `(m,)`, positive."""
        return np.sqrt(np.maximum(self._variance, 1e-12))

    def append(self, point, value):
        """Add one more point to the process, and follow.

        Args:
            point: Array `(columns,)`.
            value: Its value.

        Raises:
            RuntimeError: If the process was changed by another since these predictions were made.
        """
        rows = self._rows
        if self.process.factor.size != rows:
            raise RuntimeError("the process was changed behind these predictions; make new ones")
        self.process.append(point[None], np.array([value]))
        last = self.process.factor.factor[-1]
        cross = self.process.kernel(point[None], self.points, self.process.theta[:-1])[0]
        row = (cross - last[:-1] @ self._solved[:rows]) / last[-1]
        if rows == len(self._solved):
            self._solved = np.concatenate([self._solved, np.empty((32, len(row)))])
        self._solved[rows] = row
        self._rows += 1
        self.mean = self.mean + row * self.process.whitened[-1]
        self._variance = self._variance - row**2
