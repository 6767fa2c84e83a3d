"""Training with `fit`, checkpointed each epoch and resumed exactly."""

import importlib.util

import keras
import numpy as np

from app.errors import UserError
from app.processor import slow_precision
from app.training.archive import check_archive
from app.training.callbacks import Checkpoint, Progress, SeededDropout, ValidateOverHyper
from app.training.devices import replicated
from app.training.run_folder import log


def train(build, pairs, config, folder, measure=None, compile_model=None):
    """Train a model, or take its training up again.

    With the same config, data and machine the final weights do not depend on how often the
    run was killed: batches depend on seed, epoch and step alone, and a checkpoint holds the
    optimiser's state.

    Args:
        build: Function `() -> model`, not compiled.
        pairs: Function `(first_epoch) -> PyDataset` with a `seed`.
        config: `TrainingConfig`, or another with `epochs`, `replicas` and `validate_every`.
        folder: `RunFolder`.
        measure: Function `(model) -> dict` of what is measured on the validation data, or None.
        compile_model: Function `(model)`; by default with `optimizer`.

    Returns:
        The trained model and its history, a list of dicts.

    Raises:
        UserError: If the checkpoint is damaged, or the history is another training's.
    """
    with replicated(config.replicas):
        model, history = _train(build, pairs, config, folder, measure, compile_model)
    if config.replicas > 1:  # what follows runs on one device
        model = load_checkpoint(folder.checkpoints / "last.keras")
    return model, history


def _train(build, pairs, config, folder, measure, compile_model):
    last, steps, seed = folder.checkpoints / "last.keras", len(pairs(0)), pairs(0).seed
    if last.is_file():
        model = load_checkpoint(last)
        done = int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // steps
        history = [row for row in folder.read_history() if row["epoch"] <= done]
        if [row["epoch"] for row in history] != list(range(1, done + 1)):
            raise UserError(
                f"{folder.path}: history.csv tells of {len(history)} of the {done} epochs that its checkpoint has: "
                "another training wrote here, or one file was restored alone; restore both, or train in another folder"
            )
        if done < config.epochs:
            log(f"going on after epoch {done} of {config.epochs}")
    else:
        model, done, history = build(), 0, []
        compile_model(model) if compile_model else model.compile(optimizer(config, steps))
        # Else its variables are made within the first step, which TensorFlow then traces twice.
        model.optimizer.build(model.trainable_variables)
    if done >= config.epochs:
        log(f"training is complete ({done} epochs)")
        return model, history
    checkpoint = Checkpoint(folder, history)
    progress = Progress(config.epochs, steps, done)
    callbacks = [
        *([ValidateOverHyper(measure, config.validate_every, config.epochs)] if measure else []),
        SeededDropout(seed),
        progress,
        checkpoint,
        *_dashboard(folder),
        keras.callbacks.TerminateOnNaN(),
    ]
    try:
        # Batches are random by themselves; a shuffle by Keras' global generator would not resume.
        model.fit(pairs(done), epochs=config.epochs, initial_epoch=done, shuffle=False, callbacks=callbacks, verbose=0)
    except Exception:  # what an inverse or eigenvectors say of NaN, before its loss is seen
        if all(np.isfinite(keras.ops.convert_to_numpy(one)).all() for one in model.trainable_weights):
            raise
    finally:
        progress.on_train_end()  # Keras does not say it after an error, and the terminal's cursor is hidden
    if len(checkpoint.history) < config.epochs:
        raise UserError(
            f"{folder.path}: the loss became NaN in epoch {len(checkpoint.history) + 1}; start anew in another "
            "folder with a lower training.learning_rate"
        )
    return model, checkpoint.history


def _dashboard(folder):
    """TensorBoard's files; on Keras' other backends TensorFlow, which writes them, need not be there."""
    if importlib.util.find_spec("tensorflow") is None:
        log("no TensorBoard files: TensorFlow is not installed")
        return []
    return [keras.callbacks.TensorBoard(folder.tensorboard, write_graph=False)]


def optimizer(config, steps):
    """Adam with a cosine decay to a fiftieth over the whole training.

    Args:
        config: `TrainingConfig`, or another with `epochs`, `learning_rate` and `decay`.
        steps: Batches per epoch.

    Returns:
        Keras optimiser.
    """
    total = config.epochs * steps
    decay = keras.optimizers.schedules.CosineDecay(config.learning_rate, total, alpha=0.02)
    return keras.optimizers.Adam(decay if config.decay else config.learning_rate)


def load_trained(folder, contract, task):
    """A trained network and its contract.

    Args:
        folder: `RunFolder` of its training.
        contract: Class of the contract, a `KeptContract`.
        task: Name of the task, for the message.

    Returns:
        Keras model and contract.

    Raises:
        UserError: If nothing was trained there, or a file is damaged.
    """
    if not folder.model.is_file():
        raise UserError(f"{folder.model}: no trained model; run 'python main.py {task} --config FILE' first")
    kept = contract.read(folder.contract)
    model = load_checkpoint(folder.model)
    if wrong := kept.misfit(type(model).__name__, model.get_config()):
        raise UserError(
            f"{folder.contract}: {wrong}; the {type(model).__name__} beside it is another model: copy both from one run"
        )
    return model, kept


def load_registration(path, contract, precision=None):
    """A registration network that fits its contract.

    Args:
        path: `.keras` file.
        contract: `Contract`.
        precision: As for `load_checkpoint`.

    Returns:
        The model.

    Raises:
        UserError: If the file is missing or damaged, or the contract is another model's.
    """
    from nets.registration.voxelmorph import RegistrationModel

    model = load_checkpoint(path, precision)
    if not isinstance(model, RegistrationModel):
        kind = type(model).__name__
        raise UserError(f"{path}: a {kind}, no registration network; give one of the tasks hypermorph or convert")
    names = [one.name for one in getattr(model, "hyper_parameters", [])]
    official = getattr(model, "architecture", None)
    rank = len(official.shape) if official else model.get_config()["rank"]
    if names != list(contract.hyper) or rank != len(contract.shape):
        told, has = (", ".join(one) or "none" for one in (contract.hyper, names))
        raise UserError(
            f"{path.with_suffix('.json')}: tells of {len(contract.shape)}D images and hyper-parameters {told}; the "
            f"model beside it takes {rank}D and {has}; copy both from one run"
        )
    return model


def load_checkpoint(path, precision=None):
    """Load a `.keras` file of this project.

    Args:
        path: File.
        precision: "float32" or "bfloat16"; None takes that of training.

    Returns:
        The model, compiled as it was saved.

    Raises:
        UserError: If the file is missing or damaged.
    """
    import nets.classification.slice_classifier
    import nets.legacy
    import nets.registration.hypermorph  # noqa: F401 - they register their classes
    import segmentation.pose_loss  # noqa: F401
    import segmentation.template_network  # noqa: F401
    import transfer.adapted_unet  # noqa: F401
    from nets.precision import in_precision

    check_archive(path)
    if line := slow_precision(precision):
        log(line)
    try:
        return in_precision(keras.models.load_model(path), precision)
    except Exception as error:  # zip, h5py, json and Keras raise their own kinds
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path}: the model cannot be loaded, the file is missing or damaged ({reason}); "
            "delete it to start afresh, or restore it"
        ) from None
