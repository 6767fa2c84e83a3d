"""Budgets, failures, sizes and memory of a search; Keras Tuner's own parts."""

import gc
import weakref
from types import SimpleNamespace

import keras
import keras_tuner as kt
import numpy as np
import pytest

from app.tuning.bayesian_oracle import BayesianOracle
from app.tuning.model_size import model_size
from app.tuning.plain_oracles import RandomOracle
from app.tuning.seeded_batches import SeededBatches
from tests.tuning.tuner_cases import LOSS, build, curve, declared, space, tuner


@pytest.fixture
def slow(monkeypatch):
    """A callback of batches that take so many seconds, by a clock of their own: the machine's speed counts nothing."""

    def make(seconds):
        clock = [0.0]

        class Slow(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                clock[0] += seconds

            def __deepcopy__(self, memo):  # Keras Tuner copies callbacks
                return Slow()

        monkeypatch.setattr("app.tuning.budgeted_tuner.time", SimpleNamespace(perf_counter=lambda: clock[0]))
        return Slow()

    return make


def test_seconds_are_a_budget(data, slow, tmp_path):
    """A budget in seconds ends after a whole epoch, the nearest to the seconds."""
    oracle = declared(RandomOracle, max_trials=1)
    batches = -(-len(data["x"]) // data["batch_size"])
    tuner(oracle, tmp_path, epochs=2.4, unit="seconds").search(**data, callbacks=[slow(0.5 / batches)])
    seconds = [entry["train_seconds"] for entry in curve(tmp_path, 0)]
    assert seconds == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5])


def test_an_epoch_longer_than_the_budget_is_cut(data, slow, tmp_path):
    """An epoch of half an hour at a budget of a minute would hold a worker."""
    oracle = declared(RandomOracle, max_trials=1)
    tuner(oracle, tmp_path, epochs=0.5, unit="seconds").search(**{**data, "batch_size": 1}, callbacks=[slow(0.2)])
    (entry,) = curve(tmp_path, 0)
    assert 0.75 <= entry["train_seconds"] < 1.1, "it is cut at one and a half of its budget"


def test_a_loss_that_diverges_is_a_failed_trial(data, tmp_path):
    """NaN must fail the trial with its reason, and the search go on."""

    def diverges(hp):
        model = build(hp)
        if hp.get("units") > 4:
            model.compile(keras.optimizers.SGD(1e30), "mse", jit_compile=False)
        return model

    oracle = declared(RandomOracle, max_trials=4)
    tuner(oracle, tmp_path, diverges, epochs=1).search(**data)
    failed = [trial for trial in oracle.trials.values() if trial.status == "FAILED"]
    assert {trial.hyperparameters.values["units"] > 4 for trial in failed} == {True}
    assert "val_loss became" in failed[0].message
    assert "val_loss became" in (tmp_path / "search" / f"trial_{failed[0].trial_id}" / "error.txt").read_text(
        encoding="utf-8"
    )


def test_models_too_large_are_not_built(data, tmp_path):
    """Above `max_model_size` no memory is taken, and the search learns to stay below."""
    taken = []

    def watched(hp):
        model = build(hp)
        if not keras.src.backend.common.stateless_scope.in_stateless_scope():
            taken.append(model.count_params())
        return model

    oracle = declared(BayesianOracle, max_trials=6, num_initial_points=4)
    tuner(oracle, tmp_path, watched, epochs=1, max_model_size=40).search(**data)
    assert 0 < max(taken) <= 40, "a model that is too large was built to be counted"
    failed = [trial for trial in oracle.trials.values() if trial.status == "FAILED"]
    assert all(trial.hyperparameters.values["units"] > 6 for trial in failed)
    assert all("Oversized" in trial.message for trial in failed)


def test_sizes_are_counted_without_building():
    """Parameters and activations of a network that would fill the memory many times over."""

    def huge():
        x = keras.Input((64, 64, 3))
        y = keras.layers.Conv2D(8, 3, padding="same")(x)
        y = keras.layers.Flatten()(y)
        return keras.Model(x, keras.layers.Dense(10_000_000)(y))

    parameters, activations = model_size(huge)
    assert parameters == 8 * 28 + (64 * 64 * 8 + 1) * 10_000_000
    assert activations == 64 * 64 * 3 + 2 * 64 * 64 * 8 + 10_000_000


def test_memory_is_freed_between_trials(data, tmp_path):
    """A gigabyte every twenty trials is what Keras Tuner's users measured."""
    models = []

    def watched(hp):
        model = build(hp)
        models.append(weakref.ref(model))
        return model

    tuner(declared(RandomOracle, max_trials=4), tmp_path, watched, epochs=1, count_sizes=False).search(**data)
    gc.collect()
    assert sum(model() is not None for model in models) <= 1


def test_batches_depend_on_seed_and_epoch_alone():
    """What a resumed training sees must be what it would have seen."""
    x, y = np.arange(10), {"a": np.arange(10) * 2}
    through = SeededBatches((x, y), 4, seed=1)
    seen = []
    for _ in range(3):
        seen.append([through[step] for step in range(len(through))])
        through.on_epoch_end()
    later = SeededBatches((x, y), 4, seed=1, first_epoch=2)
    for step in range(3):
        np.testing.assert_array_equal(seen[2][step][0], later[step][0])
        np.testing.assert_array_equal(later[step][1]["a"], 2 * later[step][0])
    assert sorted(np.concatenate([batch[0] for batch in seen[0]])) == list(range(10))
    assert not np.array_equal(seen[0][0][0], seen[1][0][0])


@pytest.mark.parametrize("kind", [kt.oracles.RandomSearchOracle, kt.oracles.BayesianOptimizationOracle])
def test_it_works_with_keras_tuners_own_oracles(kind, data, tmp_path):
    """A user who has an oracle keeps it."""
    oracle = kind(objective=LOSS, max_trials=2, hyperparameters=space(), seed=1)
    tuner(oracle, tmp_path, epochs=1).search(**data)
    assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 2


@pytest.mark.parametrize("kind", [RandomOracle, BayesianOracle])
def test_the_oracles_work_with_keras_tuners_own_tuner(kind, data, tmp_path):
    """`kt.Tuner(oracle=...)` is promised; the space is found by building."""

    def defines(hp):
        hp.Int("units", 2, 8)
        hp.Float("rate", 1e-3, 1e-1, sampling="log")
        return build(hp)

    oracle = kind(objective=LOSS, max_trials=4, seed=1)
    search = kt.Tuner(oracle, defines, directory=str(tmp_path), project_name="search")
    search.search(**data, epochs=2)
    assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 4
    assert len({trial.hyperparameters.values["rate"] for trial in oracle.trials.values()}) == 4


def test_sending_a_conditional_space_prints_nothing(capsys):
    """Keras Tuner left a print in: a search over a conditional space buried its own log."""
    import app.tuning.distributed  # noqa: F401 - silences it

    space = kt.HyperParameters()
    head = space.Choice("head", ["dense", "pool"])
    with space.conditional_scope("head", ["dense"]):
        if head == "dense":
            space.Int("units", 1, 4)
    assert kt.HyperParameters.from_proto(space.to_proto()).values == space.values
    assert capsys.readouterr().out == ""
