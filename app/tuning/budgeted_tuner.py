"""A Keras Tuner that trains to a budget, and goes on exactly where a training stopped."""

import contextlib
import gc
import logging
import math
import time
from pathlib import Path

import keras
import keras_tuner as kt
import numpy as np

from app.errors import NO_ROOM
from app.files import write_json, write_text
from app.tuning.distributed import PatientOracle, role
from app.tuning.model_size import model_size
from app.tuning.seeded_batches import SeededBatches
from app.tuning.trial_files import (
    BEST,
    LAST,
    PROGRESS,
    DiskFullError,
    first_trial,
    has_weights,
    load_trial,
    load_weights,
    random_states,
    read_progress,
    save_weights,
)

LOG = logging.getLogger("kerasmorph")
UNITS = ("epochs", "seconds")


class BudgetedTuner(kt.Tuner):
    """Trains each trial to its budget, reports every epoch, and resumes with the optimiser's state.

    A promoted trial takes up weights, optimiser and random state of the one before it, so that one
    epoch and then two are the same training as three. So does a trial whose process was killed.
    Arrays given to `search` are shuffled by seed and epoch (see `SeededBatches`).

    Args:
        oracle: A `SearchOracle`, or any oracle of Keras Tuner.
        hypermodel: `keras_tuner.HyperModel` or function `(hp) -> compiled model`.
        epochs: Budget of a trial whose oracle sets none.
        unit: "epochs", or "seconds" of training, validation apart: to the nearest whole epoch; one that takes
            longer than the whole budget is cut at one and a half of it.
        keep_best: Number of best trials whose checkpoints are kept; None keeps all.
        count_sizes: Whether parameters and activations of a candidate are counted before it is
            built, to learn which do not fit in memory.
        seed: Integer; a trial's initial weights and batches come from it and the trial's name.
        board: `HParamsBoard`, which gets every epoch and every failure, or None.
        max_model_size: Parameters above which a candidate is not built; it counts as failed.
        **kwargs: See `keras_tuner.Tuner`.

    Raises:
        ValueError: If the unit is unknown.

    Example:

    ```python
    oracle = HyperbandBayesianOracle("val_loss", max_budget=27)
    tuner = BudgetedTuner(oracle, build_model, directory="runs", project_name="search")
    tuner.search(x, y, validation_data=(x_val, y_val), batch_size=32)
    ```
    """

    def __init__(
        self, oracle, hypermodel, epochs=1, unit="epochs", keep_best=3, count_sizes=True, seed=0,
        max_model_size=None, board=None, **kwargs,
    ):  # fmt: skip
        if unit not in UNITS:
            raise ValueError(f"Expected unit in {UNITS}. Received: {unit}")
        self.epochs, self.unit, self.seed, self.board = epochs, unit, seed, board
        super().__init__(oracle, hypermodel, max_model_size=max_model_size, **kwargs)
        oracle.keep_best = keep_best
        if count_sizes and getattr(oracle, "size_of", 0) is None:
            oracle.size_of = self._size_of
        if self.oracle is not oracle:  # a worker: Keras Tuner's client gives up on the first lost connection
            self.oracle = PatientOracle(oracle)

    def run_trial(self, trial, *args, **kwargs):
        """Train a trial to its budget.

        Args:
            trial: `keras_tuner` trial; `tuner/epochs` is its budget, `tuner/trial_id` the trial
                that it goes on with.
            *args, **kwargs: Of `search`.

        Returns:
            Dict with the objective's best value.
        """
        values = trial.hyperparameters.values
        folder = Path(self.get_trial_dir(trial.trial_id))
        root = first_trial(self.oracle, trial)
        keras.utils.set_random_seed(self._seed(root))
        model = self._try_build(trial.hyperparameters)
        progress = self._restore(model, folder, values.get("tuner/trial_id"))
        keeper = _Keeper(self, trial, root, folder, progress)
        if not keeper.through:
            keeper.train(model, *args, **kwargs)
        del model, keeper
        keras.backend.clear_session()
        gc.collect()
        return {self.oracle.objective.name: progress["best"]}

    def load_model(self, trial):
        """The model of a trial at its best epoch.

        Args:
            trial: `keras_tuner` trial.

        Returns:
            Keras model, compiled.

        Raises:
            FileNotFoundError: If its checkpoint was not among those kept.
        """
        folder = Path(self.get_trial_dir(trial.trial_id))
        if not (folder / BEST).is_file():
            raise FileNotFoundError(f"{folder / BEST}: not kept; keep_best says how many are")
        model = self._try_build(trial.hyperparameters)
        load_weights(model, folder / BEST, read_progress(folder))
        return model

    def on_search_begin(self):
        """Keras Tuner's hook: a search that is killed in its first trial must be found again."""
        self.save()

    def save(self):
        """Write the search's state, whole or not at all."""
        if role() != "worker":
            self.oracle.save()
        write_json(self._get_tuner_fname(), self.get_state())

    def _get_tuner_fname(self):
        # One name whether alone or chief: a search begun alone may go on with workers.
        name = self.tuner_id if role() == "worker" else "search"
        return str(Path(self.project_dir) / f"{name}.json")

    def _populate_initial_space(self):
        if self.oracle.allow_new_entries:  # else the space is declared; models need not be built to find it
            super()._populate_initial_space()

    def _try_run_and_update_trial(self, trial, *args, **kwargs):
        beat = self.oracle.heartbeat(trial.trial_id) if isinstance(self.oracle, PatientOracle) else None
        try:
            with beat or contextlib.nullcontext():
                super()._try_run_and_update_trial(trial, *args, **kwargs)
        except DiskFullError as full:
            raise full.__cause__ from None
        if trial.message:  # gRPC does not carry it to the chief
            folder = Path(self.get_trial_dir(trial.trial_id))
            write_text(folder / "error.txt", trial.message)
            reason = trial.message.strip().splitlines()[-1][:200]
            LOG.info(f"trial {trial.trial_id} failed: {reason}")
            if self.board:
                curve = read_progress(folder)["curve"] if (folder / PROGRESS).is_file() else []
                self.board.fail(first_trial(self.oracle, trial), trial.hyperparameters.values, reason, curve)

    def _run_and_update_trial(self, trial, *args, **kwargs):
        try:
            self.run_trial(trial, *args, **kwargs)  # every epoch has been reported
        except OSError as error:
            if error.errno in NO_ROOM:
                raise DiskFullError from error
            raise

    def _try_build(self, hp):
        """Keras Tuner builds first and counts then, when the memory is gone."""
        if self.max_model_size:
            parameters, _ = self._size_of(hp.values)
            if parameters > self.max_model_size:
                raise kt.errors.FailedTrialError(f"Oversized model: {parameters:,} parameters; it was not built")
        return super()._try_build(hp)

    def _size_of(self, values):
        hp = self.oracle.get_space()
        hp.values = values
        try:
            return model_size(lambda: self.hypermodel.build(hp))
        except Exception as error:  # a user's own code; the search goes on without sizes
            if not isinstance(error, kt.errors.FailedTrialError):
                LOG.info("the size of a model could not be counted before it is built: %s", error)
            return 0, 0

    def _seed(self, root):
        return (self.seed * 100_003 + int(root)) % 2**31

    def _restore(self, model, folder, before):
        """Take up this trial's training, or that of the trial before it."""
        if has_weights(folder):
            progress = read_progress(folder)
            load_trial(model, folder, progress)
            # The process may have died before the oracle heard of it.
            self._report(folder.name.removeprefix("trial_"), progress["curve"][-1])
            return progress
        if not before:
            return {"epochs": 0, "seconds": 0.0, "start": 0, "best": None, "curve": []}
        source = Path(self.get_trial_dir(before))
        if not has_weights(source):
            raise kt.errors.FailedTrialError(f"the checkpoint of trial {before}, to go on with, is gone")
        progress = read_progress(source)
        load_trial(model, source, progress)
        return {**progress, "start": progress["epochs"], "best": None, "curve": []}

    def _report(self, trial_id, entry):
        metrics = {name: value for name, value in entry.items() if name != "epoch"}
        self.oracle.update_trial(trial_id, metrics, step=entry["epoch"])


class _Keeper(keras.callbacks.Callback):
    """Trains one trial to its budget: reports, checkpoints and stops."""

    def __init__(self, tuner, trial, root, folder, progress):
        super().__init__()
        self.tuner, self.trial, self.root = tuner, trial, root
        self.folder, self.progress = folder, progress
        self.budget = trial.hyperparameters.values.get("tuner/epochs", tuner.epochs)
        self.objective = tuner.oracle.objective

    @property
    def through(self):
        progress = self.progress
        if progress["epochs"] == 0:
            return False
        if self.tuner.unit == "epochs":
            return progress["epochs"] >= self.budget
        half = 0.5 * progress["seconds"] / progress["epochs"]  # the nearest whole epoch
        return progress["epochs"] > progress["start"] and progress["seconds"] + half >= self.budget

    def train(self, model, *args, callbacks=(), **kwargs):
        """Train from where the progress stands."""
        first = self.progress["epochs"]
        args, kwargs = _seeded(args, kwargs, self.tuner._seed(self.root), first)
        last = int(self.budget) if self.tuner.unit == "epochs" else 10**9
        callbacks = [*self.tuner._deepcopy_callbacks(list(callbacks)), self]
        kwargs = {**kwargs, "initial_epoch": first, "epochs": last, "callbacks": callbacks}
        self.tuner.hypermodel.fit(self.trial.hyperparameters, model, *args, **kwargs)

    def on_epoch_begin(self, epoch, logs=None):
        self._began, self._trained = time.perf_counter(), None

    def on_train_batch_end(self, batch, logs=None):
        # A network whose one epoch outlasts the budget many times would hold its worker, and the bracket.
        if self.tuner.unit == "seconds":
            spent = self.progress["seconds"] + time.perf_counter() - self._began
            if spent > max(1.5 * self.budget, self.progress["seconds"] + 0.5 * self.budget):
                self.model.stop_training = True

    def on_test_begin(self, logs=None):
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        seconds = (self._trained or time.perf_counter()) - self._began
        name = self.objective.name
        if name not in logs:
            raise kt.errors.FatalError(f"training reports no '{name}'; it reports {', '.join(logs) or 'nothing'}")
        if not math.isfinite(logs[name]):
            raise kt.errors.FailedTrialError(f"{name} became {logs[name]} in epoch {epoch + 1}")
        progress = self.progress
        progress["epochs"], progress["seconds"] = epoch + 1, progress["seconds"] + seconds
        progress["curve"].append({"epoch": epoch + 1, "train_seconds": progress["seconds"], **logs})
        progress["build"] = self.model.get_build_config()
        progress["random_states"] = [keras.ops.convert_to_numpy(state).tolist() for state in random_states(self.model)]
        if progress["best"] is None or (logs[name] > progress["best"]) == (self.objective.direction == "max"):
            progress["best"] = logs[name]
            save_weights(self.model, self.folder / BEST)
        # Weights of a new name, then the progress that names them: a kill between leaves the old pair.
        before, progress["weights"] = progress.get("weights"), LAST.replace("*", f"{epoch + 1:05d}")
        save_weights(self.model, self.folder / progress["weights"])
        write_json(self.folder / PROGRESS, progress)
        if before and before != progress["weights"]:
            (self.folder / before).unlink(missing_ok=True)
        self.tuner._report(self.trial.trial_id, progress["curve"][-1])
        if self.tuner.board:
            self.tuner.board.write(self.root, self.trial.hyperparameters.values, progress["curve"][-1])
        if self.through:
            self.model.stop_training = True


def _seeded(args, kwargs, seed, first_epoch):
    """Arguments of `fit` with arrays put into `SeededBatches`."""
    kwargs = {key: value for key, value in kwargs.items() if key not in ("epochs", "initial_epoch")}
    x = args[0] if args else kwargs.get("x")
    leaves = keras.tree.flatten(x)
    if x is None or not all(isinstance(leaf, np.ndarray) for leaf in leaves):
        return args, kwargs
    given = dict(zip(("x", "y", "batch_size"), args, strict=False))
    kwargs = {**kwargs, **given}
    arrays = [kwargs.pop(name, None) for name in ("x", "y", "sample_weight")]
    arrays = tuple(array for array in arrays if array is not None)
    size = kwargs.pop("batch_size", None) or 32
    # Batches are in random order already; a shuffle by Keras' global generator would not resume.
    return (SeededBatches(arrays, size, seed, first_epoch),), {**kwargs, "shuffle": False}
