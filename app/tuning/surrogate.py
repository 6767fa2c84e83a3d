"""What to try next, from all that was tried: the search itself, without Keras Tuner."""

import dataclasses

import numpy as np
from threadpoolctl import threadpool_limits

from app.tuning import acquisition
from app.tuning.feasibility import Feasibility, SizeFeasibility
from app.tuning.gaussian_process import GaussianProcess, Watched
from app.tuning.kernel import Kernel
from app.tuning.warp import Warp

LIARS = ("min", "mean", "max", "believer")
MOST_CANDIDATES = 3000
CHECKED_BY_SIZE, PROBES = 16, 16


@dataclasses.dataclass
class Observation:
    """One value of one configuration.

    Args:
        row: Array, its place in the `Space`.
        value: What is minimised; NaN if it failed.
        time: Training done, as a share of the full budget.
        size: Logarithms of its numbers of parameters and activations, or None.
    """

    row: np.ndarray
    value: float
    time: float = 1.0
    size: tuple | None = None


class Surrogate:
    """Proposes configurations by the acquisition at full budget, never one twice.

    Args:
        space: `Space`.
        acquisition_name: "expected_improvement" or "probability_of_improvement".
        liar: What a running trial counts as until its value is known: "min", "mean" or "max" of the
            values so far, or "believer", the predicted mean.
        kernel: "matern", "matern_3_2" or "squared_exponential", see `Kernel`.
        over_time: Whether observations before the full budget are used, with a kernel over time.
        feasibility: Whether failures are learnt from.
        marginalise: Draws of the kernel's parameters to average over; 0 takes the most likely ones.
        size_of: Function `(values) -> (parameters, activations)` or None.

    Raises:
        ValueError: If an option is unknown.
    """

    def __init__(
        self,
        space,
        acquisition_name="expected_improvement",
        liar="max",
        kernel="matern",
        over_time=False,
        feasibility=True,
        marginalise=0,
        size_of=None,
    ):
        if acquisition_name not in acquisition.FUNCTIONS:
            raise ValueError(f"Expected acquisition in {acquisition.FUNCTIONS}. Received: {acquisition_name}")
        if liar not in LIARS:
            raise ValueError(f"Expected liar in {LIARS}. Received: {liar}")
        self.space = space
        self.acquire = getattr(acquisition, acquisition_name)
        self.liar = liar
        self.kernel = Kernel(space.categorical, kernel, over_time)
        self.uses_feasibility = feasibility
        self.marginalise = marginalise
        self.size_of = size_of
        self.theta, self.learnt_on = None, 0
        self._probes = None
        self._process = None

    @threadpool_limits.wrap(limits=1, user_api="blas")  # matrices so small that threads wait for one another
    def propose(self, observations, running, taken, count, rng):
        """The next configurations.

        Args:
            observations: List of `Observation` in the order in which they came; it only grows.
            running: List of rows without a value yet.
            taken: Set of keys that must not come again.
            count: How many.
            rng: `numpy.random.Generator`.

        Returns:
            List of rows, fewer than `count` if the space is exhausted.
        """
        known = [observation for observation in observations if np.isfinite(observation.value)]
        failed = [observation for observation in observations if not np.isfinite(observation.value)]
        if len(known) < 2:
            return self.space.unused(count, taken, rng)
        processes, self._full = self._processes(known, rng), {}
        rows = self._candidates(known, processes[0], taken, rng)
        if not len(rows):
            return []
        feasible = self._feasibility(known, failed, rows, rng)
        sizes = self._sizes(known, failed, rows, rng)
        if sizes is not None:
            feasible = feasible * sizes.predicted
        return self._choose(processes, rows, feasible, sizes, running, failed, count)

    @threadpool_limits.wrap(limits=1, user_api="blas")
    def predict(self, observations, rows, rng):
        """Predicted values at full budget, on the objective's own scale.

        Args:
            observations: List of `Observation`.
            rows: Array `(m, entries)`.
            rng: `numpy.random.Generator`.

        Returns:
            Median, and the bounds within one deviation, three arrays `(m,)`.
        """
        known = [observation for observation in observations if np.isfinite(observation.value)]
        mean, deviation = self._processes(known, rng)[0].predict(self._points(rows))
        return tuple(self._warp.inverse(mean + shift * deviation) for shift in (0.0, -1.0, 1.0))

    def get_state(self):
        """What a resumed search needs to go on as if uninterrupted, as JSON."""
        return {"theta": None if self.theta is None else list(self.theta), "learnt_on": self.learnt_on}

    def set_state(self, state):
        """Take up `get_state`."""
        self.theta = None if state["theta"] is None else np.array(state["theta"])
        self.learnt_on, self._process = state["learnt_on"], None

    def _processes(self, known, rng):
        """The Gaussian process of the known values; several where parameters are marginalised.

        Parameters are learnt when the points have grown by a tenth; until then new points extend
        the factor.
        """
        if not self.kernel.over_time:
            known = _largest_budget(known, len(self.space.names) + 2)
        times = np.array([trial.time for trial in known])
        points = self._points(np.array([trial.row for trial in known]), times)
        values = np.array([trial.value for trial in known])
        if self._process is not None and not np.array_equal(self._process.points, points[: len(self._process.points)]):
            self.theta, self._process = None, None  # another budget's observations
        if self.theta is None or len(known) >= self.learnt_on + max(1, self.learnt_on // 10):
            self._warp = Warp(values, times)
            self._process = GaussianProcess(self.kernel, self.theta).learn(points, self._warp(values), rng)
            self.theta, self.learnt_on = self._process.theta, len(known)
        elif self._process is None:  # resumed
            self._warp = Warp(values[: self.learnt_on], times[: self.learnt_on])
            self._process = GaussianProcess(self.kernel, self.theta).fit(points, self._warp(values))
        elif (new := len(known) - len(self._process.points)) > 0:
            self._process.append(points[-new:], self._warp(values[-new:]))
        if self.marginalise:
            return self._process.sample(points, self._warp(values), rng, self.marginalise)
        return [self._process]

    def _points(self, rows, times=None):
        features = self.space.features(rows)
        if not self.kernel.over_time:
            return features
        times = np.ones(len(rows)) if times is None else np.asarray(times, float)
        return np.column_stack([features, times])

    def _candidates(self, known, process, taken, rng):
        """All that is free of a small space; else random ones, ones near the best, and ones near those that promise."""
        space = self.space
        if space.size <= MOST_CANDIDATES:
            rows = space.all()
        else:
            best = sorted(known, key=lambda observation: observation.value)[:5]
            rows = np.concatenate([space.draw(1000, rng), *(space.near(candidate.row, 100, rng) for candidate in best)])
            promise = self._promise(process, rows)
            for spread in (0.05, 0.02):
                top = np.argsort(-promise, kind="stable")[:10]
                more = np.concatenate([space.near(rows[index], 40, rng, spread) for index in top])
                rows = np.concatenate([rows, more])
                promise = np.concatenate([promise, self._promise(process, more)])
        unique = {key: row for key, row in zip(space.keys(rows), rows, strict=True) if key not in taken}
        return np.array(list(unique.values())).reshape(-1, len(space.names))

    def _promise(self, process, rows):
        return self.acquire(*process.predict(self._points(rows)), self._at_full_budget(process).min())

    def _feasibility(self, known, failed, rows, rng):
        if not self.uses_feasibility or not failed:
            return np.ones(len(rows))
        tried = np.array([trial.row for trial in known + failed])
        model = Feasibility(self.space.categorical)
        model.fit(self.space.features(tried), [True] * len(known) + [False] * len(failed), rng)
        return model.probability(self.space.features(rows))

    def _choose(self, processes, rows, feasible, sizes, running, failed, count):
        watched = [Watched(process, self._points(rows)) for process in processes]
        lies = {"min": np.min, "mean": np.mean, "max": np.max}
        before = [process.factor.size for process in processes]
        lie = None if self.liar == "believer" else lies[self.liar](self._at_full_budget(processes[0]))
        lowest = [self._at_full_budget(process).min() for process in processes]
        for row in running:
            point = self._points(row[None])[0]
            for candidate in watched:
                candidate.append(point, candidate.process.predict(point[None])[0][0] if lie is None else lie)
        if self.uses_feasibility:  # where nothing can be trained nothing is uncertain either
            for failure in failed:
                point = self._points(failure.row[None])[0]
                for item in watched:
                    mean, deviation = item.process.predict(point[None])
                    item.append(point, mean[0] + deviation[0])
        chosen, free = [], np.ones(len(rows), bool)
        while len(chosen) < count and free.any():
            promises = [
                self.acquire(candidate.mean, candidate.deviation, low)
                for candidate, low in zip(watched, lowest, strict=True)
            ]
            scores = np.where(free, np.mean(promises, axis=0) * feasible, -1.0)
            index = self._highest(scores, rows, sizes)
            free[index] = False
            chosen.append(rows[index])
            if len(chosen) < count:
                point = self._points(rows[index][None])[0]
                for entry in watched:
                    entry.append(point, entry.mean[index] if lie is None else lie)
        for process, size in zip(processes, before, strict=True):
            if process.factor.size > size:
                process.drop(process.factor.size - size)
        return chosen

    def _at_full_budget(self, process):
        """The values; with observations before the full budget, what is predicted for it where they were made."""
        if not self.kernel.over_time:
            return process.values
        if id(process) not in self._full:
            points = process.points.copy()
            points[:, -1] = 1.0
            self._full[id(process)] = process.predict(np.unique(points, axis=0))[0]
        return self._full[id(process)]

    def _sizes(self, known, failed, rows, rng):
        """Failures by size, where sizes are counted before a model is built and something has failed."""
        if self.size_of is None or not self.uses_feasibility or not any(trial.size for trial in failed):
            return None
        if self._probes is None:  # a few anywhere: a size is cheap to count and smooth to predict
            drawn = self.space.draw(PROBES, np.random.default_rng(0))
            self._probes = drawn, np.array([self.log_size(self.space.values(row)) for row in drawn])
        tried = [trial for trial in known + failed if trial.size]
        return SizeFeasibility(self.space, self._probes).fit(tried, rows, rng)

    def _highest(self, scores, rows, sizes):
        """The candidate to take: the first by score, the most promising ones with their sizes counted."""
        if sizes is None:
            return int(np.argmax(scores))
        top = np.argsort(-scores, kind="stable")[:CHECKED_BY_SIZE]
        counted = sizes.probability(np.array([self.log_size(self.space.values(rows[index])) for index in top]))
        return int(top[np.argmax(scores[top] * counted / np.maximum(sizes.predicted[top], 1e-12))])

    def log_size(self, values):
        """Logarithms of a configuration's numbers of parameters and activations.

        Args:
            values: Dict from name to value.

        Returns:
            Tuple of floats, or None where nothing counts them.
        """
        return None if self.size_of is None else tuple(float(np.log1p(number)) for number in self.size_of(values))


def _largest_budget(known, enough):
    """Observations at the largest budget that has enough of them (BOHB's rule); without such, all."""
    for time in sorted({trial.time for trial in known}, reverse=True):
        there = [trial for trial in known if trial.time == time]
        if len(there) >= enough:
            return there
    return known
