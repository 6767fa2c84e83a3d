"""What oracles keep: trials of workers that die, come back or fail; searches that are resumed."""

import math

import numpy as np
import pytest

from app.tuning.bayesian_oracle import BayesianOracle
from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle
from app.tuning.plain_oracles import RandomOracle
from tests.tuning.oracle_cases import LOSS, bowl, depth
from tests.tuning.searching import finish, search


def test_parallel_workers_get_different_configurations(tmp_path):
    """Running trials count as liars: eight workers must not try the same corner."""
    oracle = BayesianOracle(LOSS, max_trials=40, hyperparameters=bowl(), seed=0)
    search(oracle, depth, tmp_path, most=12)
    trials = [oracle.create_trial(f"worker{index}") for index in range(8)]
    rows = np.array([oracle.space.row(trial.hyperparameters.values) for trial in trials])
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=-1) + 10 * np.eye(8)
    assert distance.min() > 0.01
    again = oracle.create_trial("worker3")
    assert again.trial_id == trials[3].trial_id


@pytest.mark.parametrize("kind", ["bayesian", "hyperband"])
def test_a_resumed_search_proposes_what_it_would_have(kind, tmp_path):
    """Killed at any moment, with a trial under way: the same trials as if never interrupted."""

    def make():
        if kind == "bayesian":
            return BayesianOracle(LOSS, max_trials=16, hyperparameters=bowl(), seed=3)
        return HyperbandBayesianOracle(LOSS, max_budget=9, hyperparameters=bowl(), seed=3)

    whole = search(make(), depth, tmp_path / "whole")
    tried = search(make(), depth, tmp_path / "parts", most=7)
    broken = make()
    for _ in range(3):
        oracle = make()
        oracle._set_project_dir(str(tmp_path / "parts"), "search")
        oracle.reload()
        before = oracle.create_trial("tuner0")
        tried.append(dict(before.hyperparameters.values))
        broken = make()  # killed here; the next process gets the same trial
        broken._set_project_dir(str(tmp_path / "parts"), "search")
        broken.reload()
        trial = broken.create_trial("tuner0")
        assert trial.trial_id == before.trial_id
        finish(broken, trial, depth(trial.hyperparameters.values))
        broken.save()
    assert tried == whole[: len(tried)]


def test_a_dead_workers_trial_goes_to_another(tmp_path):
    """No trial is lost with its worker, none is counted twice when it comes back."""
    oracle = RandomOracle(objective=LOSS, max_trials=3, hyperparameters=bowl(), seed=0, lease_seconds=0.0)
    oracle._set_project_dir(str(tmp_path), "search")
    lost = oracle.create_trial("dead")
    taken_up = oracle.create_trial("alive")
    assert taken_up.trial_id == lost.trial_id
    finish(oracle, taken_up, 1.0)
    finish(oracle, lost, 5.0)
    assert oracle.end_order == [lost.trial_id]
    assert oracle.trials[lost.trial_id].score == 1.0


def test_a_worker_that_comes_back_is_not_asked_for_the_same_again(tmp_path):
    """Taken for dead, it ends its trial after all, before or after another took it: the search goes on and ends."""
    oracle = RandomOracle(objective=LOSS, max_trials=2, hyperparameters=bowl(), seed=0, lease_seconds=0.0)
    oracle._set_project_dir(str(tmp_path), "search")
    slow = oracle.create_trial("slow")
    assert oracle.create_trial("other").trial_id == slow.trial_id
    finish(oracle, slow, 1.0)
    finish(oracle, slow, 2.0)
    following = oracle.create_trial("other")
    assert following.trial_id != slow.trial_id
    finish(oracle, following, 3.0)
    assert oracle.create_trial("other").status == oracle.create_trial("slow").status == "STOPPED"
    assert [oracle.trials[name].score for name in oracle.end_order] == [1.0, 3.0]
    assert oracle.update_trial("none", {"loss": 1.0}).status == "STOPPED"


def test_a_failed_trial_may_be_tried_again(tmp_path):
    """`max_retries_per_trial` is Keras Tuner's promise: a crash is tried once more, and then counts."""
    oracle = RandomOracle(objective=LOSS, max_trials=1, hyperparameters=bowl(), seed=0, max_retries_per_trial=1)
    oracle._set_project_dir(str(tmp_path), "search")
    for attempt in range(2):
        trial = oracle.create_trial("worker")
        assert trial.trial_id == "0"
        trial.status = "INVALID"
        oracle.end_trial(trial)
        assert len(oracle.end_order) == attempt
    assert oracle.trials["0"].status == "FAILED"
    assert oracle.create_trial("worker").status == "STOPPED"


def test_a_trial_that_kills_its_process_has_failed(tmp_path):
    """What the system kills for want of memory would else be begun for ever."""
    oracle = RandomOracle(objective=LOSS, max_trials=2, hyperparameters=bowl(), seed=0)
    oracle._set_project_dir(str(tmp_path), "search")
    names = [oracle.create_trial("worker").trial_id for _ in range(6)]
    assert names == ["0"] * 5 + ["1"]
    assert oracle.trials["0"].status == "FAILED"
    assert "died 5 times" in oracle.trials["0"].message


def test_an_error_ends_the_search_instead_of_hanging_it(tmp_path):
    """Keras Tuner's lock stays held after an exception, and every worker waits for ever."""

    class Broken(RandomOracle):
        def suggest(self, trial_id):
            raise ValueError("broken on purpose")

    oracle = Broken(objective=LOSS, max_trials=3, hyperparameters=bowl())
    assert search(oracle, depth, tmp_path) == []
    assert "broken on purpose" in oracle.stopped_because
    oracle = RandomOracle(objective=LOSS, max_trials=50, hyperparameters=bowl(), max_consecutive_failed_trials=4)
    assert len(search(oracle, lambda _: math.nan, tmp_path, name="failing")) == 4
    assert "4 trials in a row failed" in oracle.stopped_because


def test_unknown_options_are_refused():
    """At once, and by name."""
    with pytest.raises(ValueError, match="liar"):
        BayesianOracle(LOSS, liar="worst")
    with pytest.raises(ValueError, match="acquisition"):
        BayesianOracle(LOSS, acquisition="ucb")
    with pytest.raises(ValueError, match="shape"):
        BayesianOracle(LOSS, kernel="linear")
    with pytest.raises(ValueError, match="min_budget"):
        HyperbandBayesianOracle(LOSS, max_budget=1, min_budget=3)
