"""The tuner on real, small trainings: exact promotions, resumption, budgets, checkpoints, memory."""

import errno
import gc
import json
import weakref
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import keras_tuner as kt
import numpy as np
import pytest

from app.errors import UserError
from app.tuning.bayesian_oracle import BayesianOracle
from app.tuning.budgeted_tuner import BudgetedTuner
from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle
from app.tuning.model_size import model_size
from app.tuning.plain_oracles import RandomOracle
from app.tuning.seeded_batches import SeededBatches
from app.tuning.trial_files import load_trial, read_progress

LOSS = kt.Objective("val_loss", "min")


def space():
    hp = kt.HyperParameters()
    hp.Int("units", 2, 8)
    hp.Float("rate", 1e-3, 1e-1, sampling="log")
    return hp


def build(hp):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(hp.get("units"), activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(hp.get("rate")), "mse", jit_compile=False)
    return model


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 4)).astype("float32")
    y = np.sin(x[:, :1])
    return {"x": x[:64], "y": y[:64], "validation_data": (x[64:], y[64:]), "batch_size": 16, "verbose": 0}


def tuner(oracle, folder, model=build, **options):
    return BudgetedTuner(oracle, model, directory=str(folder), project_name="search", seed=5, **options)


def declared(kind, **options):
    return kind(objective=LOSS, hyperparameters=space(), allow_new_entries=False, seed=2, **options)


def curve(folder, trial_id):
    return json.loads((folder / "search" / f"trial_{trial_id}" / "progress.json").read_text(encoding="utf-8"))["curve"]


def without_time(entries):
    return [{key: value for key, value in entry.items() if key != "train_seconds"} for entry in entries]


def test_a_promoted_trial_goes_on_exactly(data, tmp_path):
    """Weights, optimiser, random state and batches: 1 + 2 epochs must be 3 (Keras Tuner loses Adam's state)."""
    oracle = declared(HyperbandBayesianOracle, max_budget=3, guided=False)
    search = tuner(oracle, tmp_path / "hyperband", keep_best=None)
    search.search(**data)
    promoted = next(trial for trial in oracle.trials.values() if "tuner/trial_id" in trial.hyperparameters.values)
    before = promoted.hyperparameters.values["tuner/trial_id"]
    parts = curve(tmp_path / "hyperband", before) + curve(tmp_path / "hyperband", promoted.trial_id)
    assert [entry["epoch"] for entry in parts] == [1, 2, 3]

    class Same(RandomOracle):
        """One trial, of the same name and values, trained at once."""

        def suggest(self, trial_id):
            return {key: promoted.hyperparameters.values[key] for key in ("units", "rate")} | {"n": int(trial_id)}

    whole = tuner(declared(Same, max_trials=int(before) + 1), tmp_path / "whole", epochs=3, keep_best=None)
    whole.search(**data)
    assert without_time(curve(tmp_path / "whole", int(before))) == without_time(parts)


def test_a_killed_training_resumes_exactly(data, tmp_path):
    """Killed in any epoch, also between weights and reports: the curves of an uninterrupted search."""

    class Killed(BaseException):
        pass

    class Kill(keras.callbacks.Callback):
        seen = 0

        def on_epoch_begin(self, epoch, logs=None):
            Kill.seen += 1
            if Kill.seen in (3, 6):
                raise Killed

    def run(folder, callbacks):
        oracle = declared(RandomOracle, max_trials=2)
        tuner(oracle, folder, epochs=4).search(**data, callbacks=callbacks)
        return oracle

    whole = run(tmp_path / "whole", [])
    for _ in range(2):
        with pytest.raises(Killed):
            run(tmp_path / "parts", [Kill()])
    parts = run(tmp_path / "parts", [])
    for name in ("0", "1"):
        assert without_time(curve(tmp_path / "whole", name)) == without_time(curve(tmp_path / "parts", name))
        assert whole.trials[name].score == parts.trials[name].score
        epochs = [item.step for item in parts.trials[name].metrics.get_history("val_loss")]
        assert epochs == [1, 2, 3, 4]


def test_a_full_disk_ends_the_search_and_not_the_trial(data, tmp_path, monkeypatch):
    """A trial that is called failed because the disk was full is never trained again; HDF5 would end the process."""

    def run(folder):
        oracle = declared(RandomOracle, max_trials=2)
        tuner(oracle, folder, epochs=3).search(**data)
        return oracle

    whole = run(tmp_path / "whole")
    write, written = Path.write_bytes, []

    def full(path, content):
        written.append(path)
        if len(written) == 8 and path.name.endswith(".weights.h5"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "parts")
    monkeypatch.undo()
    parts = run(tmp_path / "parts")
    assert {trial.status for trial in parts.trials.values()} == {"COMPLETED"}
    for name in ("0", "1"):
        assert without_time(curve(tmp_path / "whole", name)) == without_time(curve(tmp_path / "parts", name))
        assert whole.trials[name].score == parts.trials[name].score


def test_weights_of_a_trial_lie_in_its_own_files(data, tmp_path):
    """A search from elsewhere could make any file of the machine a network's weights."""
    tuner(declared(RandomOracle, max_trials=1), tmp_path, epochs=2, keep_best=None).search(**data)
    (last,) = tmp_path.rglob("epoch_*.weights.h5")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 100))
    with h5py.File(last, "a") as file:
        places = []
        file.visititems(lambda name, item: places.append((name, item.shape)) if hasattr(item, "shape") else None)
        place, shape = next((name, shape) for name, shape in places if len(shape) == 2)
        del file[place]
        file.create_dataset(place, shape, "float32", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    oracle = declared(RandomOracle, max_trials=1)
    again = tuner(oracle, tmp_path, epochs=2)
    model = build(oracle.trials["0"].hyperparameters)
    with pytest.raises(UserError, match="lie in another file"):
        load_trial(model, last.parent, read_progress(last.parent))
    assert again.oracle is oracle


def test_best_checkpoints_are_kept_and_the_rest_deleted(data, tmp_path):
    """1 TB of checkpoints of searches long over is what Keras Tuner's users complain of."""
    oracle = declared(BayesianOracle, max_trials=4)
    search = tuner(oracle, tmp_path, epochs=2, keep_best=2)
    search.search(**data)
    files = {path.parent.name for path in tmp_path.rglob("*.h5")}
    best = oracle.get_best_trials(2)
    assert files == {f"trial_{trial.trial_id}" for trial in best}
    model = search.get_best_models(1)[0]
    assert model.evaluate(*data["validation_data"], verbose=0) == pytest.approx(best[0].score, rel=1e-5)
    worst = max(oracle.trials.values(), key=lambda trial: trial.score)
    with pytest.raises(FileNotFoundError, match="not kept"):
        search.load_model(worst)


def test_hyperband_keeps_what_may_be_promoted(data, tmp_path):
    """A checkpoint deleted too early would fail every promotion."""
    oracle = declared(HyperbandBayesianOracle, max_budget=2, factor=2)
    tuner(oracle, tmp_path, keep_best=1, count_sizes=False).search(**data)
    assert all(trial.status == "COMPLETED" for trial in oracle.trials.values())
    assert any(trial.hyperparameters.values["tuner/round"] == 1 for trial in oracle.trials.values())
    assert len(list(tmp_path.rglob("*.h5"))) == 1


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
