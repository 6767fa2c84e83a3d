"""The tuner on real, small trainings: exact promotions, resumption, budgets, checkpoints, memory."""

import errno
from pathlib import Path

import h5py
import keras
import pytest

from app.errors import UserError
from app.tuning.bayesian_oracle import BayesianOracle
from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle
from app.tuning.plain_oracles import RandomOracle
from app.tuning.trial_files import load_trial, read_progress
from tests.tuning.tuner_cases import build, curve, declared, tuner


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
