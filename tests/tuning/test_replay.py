"""Searches in simulated time: the thesis' failure, and that it is gone."""

import numpy as np
import pytest

from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle
from app.tuning.plain_oracles import RandomOracle
from benchmarks.crossing_curves import CrossingCurves
from benchmarks.replay import Incumbent, replay_oracle
from benchmarks.thesis_rule import ThesisOracle
from tests.tuning.test_oracles import LOSS


def late_sizes(kind, task, seed, folder, **options):
    """Mean size of the configurations chosen late, and the lowest loss."""
    oracle = kind(LOSS, max_budget=task.epochs, cycles=2, hyperparameters=task.hyperparameters(), seed=seed, **options)
    incumbent = replay_oracle(oracle, task, 1e9, 1, folder)
    fresh = [trial.hyperparameters.values for trial in oracle.trials.values()]
    fresh = [values for values in fresh if "tuner/trial_id" not in values]
    return np.mean([task._size(values) for values in fresh[len(fresh) // 2 :]]), incumbent.at([1e9], np.inf)[0]


def test_small_networks_that_overfit_are_no_longer_preferred(tmp_path):
    """Thesis, section 2.5.4: predicted for the first rung, small fast networks are chosen; they end badly."""
    old, new = [], []
    for seed in range(2):
        task = CrossingCurves(seed)
        old.append(late_sizes(ThesisOracle, task, seed, tmp_path, sample=False))
        new.append(late_sizes(HyperbandBayesianOracle, task, seed, tmp_path))
    old, new = np.mean(old, axis=0), np.mean(new, axis=0)
    assert old[0] < 0.45, "the old rule no longer shows the failure"
    assert new[0] > 0.5
    assert new[1] < old[1] - 0.02


def test_simulated_time_is_the_sum_of_its_trainings(tmp_path):
    """A clock that runs wrong would compare methods at different budgets."""

    class Constant(CrossingCurves):
        def seconds(self, values):
            return 2.0

        def curve(self, values):
            return np.linspace(1.0, 0.5, self.epochs)

    task = Constant(epochs=10)
    oracle = RandomOracle(objective=LOSS, max_trials=5, hyperparameters=task.hyperparameters(), seed=0)
    incumbent = replay_oracle(oracle, task, 1e9, 2, tmp_path)
    assert len(incumbent.events) == 50
    assert max(moment for moment, _ in incumbent.events) == 60.0  # three trials of 20 s on one worker, two on the other
    assert incumbent.at([1.0, 2.0, 20.0], 9.0) == pytest.approx([9.0, 1.0, 0.5])


def test_the_incumbent_is_the_lowest_so_far():
    """Against a loop over all events."""
    rng = np.random.default_rng(0)
    incumbent = Incumbent()
    events = list(zip(rng.random(50), rng.random(50), strict=True))
    for event in events:
        incumbent.add(*event)
    moments = np.linspace(0, 1, 11)
    expected = [min([1.0] + [loss for moment, loss in events if moment <= m]) for m in moments]
    assert incumbent.at(moments, 1.0) == expected
