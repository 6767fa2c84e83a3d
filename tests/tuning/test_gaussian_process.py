"""The Gaussian process against closed forms, finite differences, scikit-learn and full factors."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from app.tuning.acquisition import expected_improvement, probability_of_improvement
from app.tuning.cholesky import GrowingCholesky
from app.tuning.gaussian_process import GaussianProcess, Watched
from app.tuning.kernel import Kernel
from app.tuning.random_search import draws_needed, probability_of_hit
from app.tuning.slice_sampling import slice_sample


def points(rng, count, kernel):
    """Random points with categories where the kernel has them, and times."""
    columns = rng.random((count, len(kernel.categorical)))
    for column, categorical in enumerate(kernel.categorical):
        if categorical:
            columns[:, column] = rng.integers(0, 3, count)
    return np.column_stack([columns, rng.random(count)]) if kernel.over_time else columns


@pytest.mark.parametrize("shape", ["matern", "matern_3_2", "squared_exponential"])
def test_predictions_are_scikit_learns(shape, rng):
    """Mean and deviation of the best known implementation, at the same parameters."""
    x, y, new = rng.random((30, 3)), rng.normal(size=30), rng.random((50, 3))
    theta = np.log([1.3, 0.4, 0.7, 0.2, 0.1])
    lengths = [0.4, 0.7, 0.2]
    smoothness = {"matern": 2.5, "matern_3_2": 1.5, "squared_exponential": np.inf}
    profile = Matern(lengths, nu=smoothness[shape])
    theirs = GaussianProcessRegressor(ConstantKernel(1.69) * profile, alpha=0.01 + 1e-10, optimizer=None).fit(x, y)
    mean, deviation = GaussianProcess(Kernel((False,) * 3, shape), theta).fit(x, y).predict(new)
    expected = theirs.predict(new, return_std=True)
    np.testing.assert_allclose(mean, expected[0], atol=1e-9)
    np.testing.assert_allclose(deviation, expected[1], atol=1e-7)


@pytest.mark.parametrize("over_time", [False, True])
@pytest.mark.parametrize("shape", ["matern", "matern_3_2", "squared_exponential"])
def test_the_likelihoods_gradient_is_that_of_finite_differences(shape, over_time, rng):
    """A wrong derivative would learn wrong length scales without a word."""
    kernel = Kernel((False, True, False), shape, over_time)
    x, y = points(rng, 12, kernel), rng.normal(size=12)
    process = GaussianProcess(kernel)
    theta = process.prior_mean + 0.3 * rng.normal(size=len(process.theta))
    gradient = process.log_posterior(theta, x, y)[1]
    for index in range(len(theta)):
        step = 1e-6 * np.eye(len(theta))[index]
        ahead, behind = (process.log_posterior(theta + sign * step, x, y, False)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((ahead - behind) / 2e-6, abs=1e-6, rel=1e-5)


def test_the_covariance_is_a_covariance(rng):
    """With categories, conditions and time no eigenvalue may be negative, or factors fail in the middle of a search."""
    for over_time in (False, True):
        kernel = Kernel((False, True, True, False), "matern", over_time)
        for _ in range(20):
            theta = rng.normal(size=len(kernel.parameters))
            x = points(rng, 40, kernel)
            covariance = kernel(x, x, theta)
            assert np.linalg.eigvalsh(covariance).min() > -1e-9 * covariance.max()
            np.testing.assert_allclose(np.diag(covariance), kernel.diagonal(x, theta), rtol=1e-12)


def test_time_does_not_fall_back_to_the_prior():
    """A training watched for a ninth of its time must still say something of its end (thesis, 2.5.4)."""
    kernel = Kernel((False,), over_time=True)
    process = GaussianProcess(kernel)
    early, end = np.array([[0.5, 1 / 9]]), np.array([[0.5, 1.0]])
    correlation = kernel(early, end, process.theta[:-1])[0, 0] / np.sqrt(
        kernel.diagonal(early, process.theta[:-1]) * kernel.diagonal(end, process.theta[:-1])
    )
    assert correlation > 0.6
    a_column = Kernel((False, False), "squared_exponential")  # the thesis' rule: time is a column like any other
    theta = np.log([1.0, 0.5, 0.3])
    assert a_column(early, end, theta)[0, 0] < 0.02


def test_appending_is_a_full_factor(rng):
    """After 1,000 appends in blocks of changing size the factor is that of all at once."""
    a = rng.normal(size=(1000, 1100))
    matrix = a @ a.T / 1100 + 0.1 * np.eye(1000)
    grown = GrowingCholesky(matrix[:3, :3])
    while grown.size < 1000:
        n, k = grown.size, min(rng.integers(1, 40), 1000 - grown.size)
        grown.append(matrix[n : n + k, :n], matrix[n : n + k, n : n + k])
    np.testing.assert_allclose(grown.factor, np.linalg.cholesky(matrix), atol=1e-12)
    grown.drop(400)
    np.testing.assert_allclose(grown.factor, np.linalg.cholesky(matrix[:600, :600]), atol=1e-12)
    right = rng.normal(size=(600, 5))
    np.testing.assert_allclose(grown.factor @ grown.solve(right), right, atol=1e-10)
    grown.append(matrix[600:700, :600], matrix[600:700, 600:700])  # on what the dropped rows left behind
    np.testing.assert_allclose(grown.factor, np.linalg.cholesky(matrix[:700, :700]), atol=1e-12)


def test_a_failed_append_changes_nothing(rng):
    """A block that is not positive definite is refused whole, and the factor can go on."""
    grown = GrowingCholesky(np.eye(3))
    with pytest.raises(np.linalg.LinAlgError):
        grown.append(np.ones((1, 3)), np.array([[1.0]]))
    np.testing.assert_array_equal(grown.factor, np.eye(3))


def test_equal_points_fall_back_to_a_full_factor(rng):
    """The same configuration at another budget, with hardly any noise, must not end the search."""
    kernel = Kernel((False,), "squared_exponential")
    x = np.linspace(0, 1, 40)[:, None]
    process = GaussianProcess(kernel, np.log([1.0, 1.0, 1e-9])).fit(x, np.sin(x[:, 0]))
    process.append(x[:20] + 1e-13, np.sin(x[:20, 0]))
    mean, _ = process.predict(x)
    np.testing.assert_allclose(mean, np.sin(x[:, 0]), atol=1e-3)


def test_watched_predictions_follow(rng):
    """Liars are told one by one; predictions must be those of a process that was told all at once."""
    kernel = Kernel((False, True))
    x, y, new = points(rng, 50, kernel), rng.normal(size=50), points(rng, 200, kernel)
    process = GaussianProcess(kernel).fit(x[:20], y[:20])
    watched = Watched(process, new)
    for index in range(20, 50):
        watched.append(x[index], y[index])
    mean, deviation = GaussianProcess(kernel).fit(x, y).predict(new)
    np.testing.assert_allclose(watched.mean, mean, atol=1e-10)
    np.testing.assert_allclose(watched.deviation, deviation, atol=1e-8)
    process.drop(30)
    np.testing.assert_allclose(process.predict(new)[0], GaussianProcess(kernel).fit(x[:20], y[:20]).predict(new)[0])
    with pytest.raises(RuntimeError, match="changed behind"):
        watched.append(x[0], y[0])


def test_learning_finds_what_matters(rng):
    """A column that does not act must get a long length, the noise about its size."""
    x = rng.random((80, 2))
    y = np.sin(6 * x[:, 0]) + 0.1 * rng.normal(size=80)
    process = GaussianProcess(Kernel((False, False))).learn(x, y, rng)
    _, acts, idle, noise = np.exp(process.theta)
    assert idle > 3 * acts
    assert 0.05 < noise < 0.2


def test_slice_sampling_draws_from_its_density(rng):
    """A sampler that is off would average over the wrong parameters."""
    draws = slice_sample(lambda at: -0.5 * at[0] ** 2 - 0.5 * (at[1] - 3) ** 2 / 4, np.zeros(2), rng, 2000, 20)
    assert kstest(draws[::5, 0], norm.cdf).pvalue > 1e-3
    assert kstest((draws[::5, 1] - 3) / 2, norm.cdf).pvalue > 1e-3


def test_marginalised_processes_differ_and_predict(rng):
    """Draws of the parameters: not one repeated, and all near the data."""
    x = rng.random((25, 1))
    y = np.sin(6 * x[:, 0])
    draws = GaussianProcess(Kernel((False,))).learn(x, y, rng).sample(x, y, rng, 5)
    assert len({tuple(draw.theta) for draw in draws}) == 5
    for draw in draws:
        np.testing.assert_allclose(draw.predict(x)[0], y, atol=0.3)


def test_acquisitions_are_their_integrals():
    """The closed forms against the expectation that defines them."""
    for mean, deviation, best in ((0.3, 0.5, 0.0), (-1.0, 0.1, 0.2), (2.0, 1.0, 0.0)):
        density = norm(mean, deviation)
        expected, _ = quad(lambda y, best=best, d=density: (best - y) * d.pdf(y), mean - 12 * deviation, best)
        found = expected_improvement(np.array([mean]), np.array([deviation]), best)[0]
        assert found == pytest.approx(max(expected, 0), abs=1e-8)
        assert probability_of_improvement(mean, deviation, best) == pytest.approx(density.cdf(best))


def test_table_2_2_of_the_thesis():
    """Draws that random search needs in a space of 100,000."""
    table = {0.01: (69, 298, 458), 0.05: (14, 59, 90), 0.1: (7, 29, 44)}
    for top, draws in table.items():
        assert tuple(draws_needed(top, p, 100_000) for p in (0.5, 0.95, 0.99)) == draws


def test_probability_of_hit_is_counted():
    """Against random draws themselves; and the product of eq. 2.20."""
    product = np.prod([1 - 5 / (50 - k) for k in range(10)])
    assert probability_of_hit(10, 5, 50) == pytest.approx(1 - product)
    with pytest.raises(ValueError, match="good"):
        probability_of_hit(3, 0, 10)
