"""Hyperband with Bayesian optimisation as the thesis had it (section 2.5.2), to compare with.

Training time is a column like any other of a squared exponential kernel, the prediction is made for
the first rung, and configurations are drawn in proportion to their expected improvement.
"""

import numpy as np

from app.tuning.acquisition import expected_improvement
from app.tuning.gaussian_process import GaussianProcess
from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle
from app.tuning.kernel import Kernel


class ThesisOracle(HyperbandBayesianOracle):
    """The old rule on this project's brackets.

    Args:
        sample: Whether configurations are drawn in proportion to the expected improvement, as in
            the thesis; without, the highest is taken.
        **kwargs: See `HyperbandBayesianOracle`.
    """

    def __init__(self, *args, sample=True, **kwargs):
        super().__init__(*args, random_share=0.0, **kwargs)
        self.brackets.long_second = False
        self.sample = sample
        self._theta = None

    def _new(self, trial_id):
        known = [observation for observation in self.observations() if np.isfinite(observation.value)]
        rng = self._generator()
        space, taken = self.space, self._taken()
        rows = [row for row in space.draw(1000, rng) if space.key(row) not in taken]
        if len(known) < self.brackets.size(self.brackets.largest, 0):
            return space.values(rows[0])
        points = np.column_stack(
            [space.features(np.array([trial.row for trial in known])), [trial.time for trial in known]]
        )
        values = np.array([trial.value for trial in known])
        values = (values - values.mean()) / (values.std() or 1.0)
        kernel = Kernel((*space.categorical, False), "squared_exponential")
        if self._theta is None or len(known) >= 1.1 * self._learnt_on:
            self._theta, self._learnt_on = GaussianProcess(kernel).learn(points, values, rng).theta, len(known)
        process = GaussianProcess(kernel, self._theta).fit(points, values)
        first = self.brackets.budget(self.brackets.largest, 0) / self.brackets.max_budget
        candidates = np.column_stack([space.features(np.array(rows)), np.full(len(rows), first)])
        promise = expected_improvement(*process.predict(candidates), values[points[:, -1] == first].min())
        if self.sample:
            return space.values(rows[rng.choice(len(rows), p=promise / promise.sum())])
        return space.values(rows[int(np.argmax(promise))])
