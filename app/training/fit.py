"""Training with `fit`, a checkpoint after each epoch, resumed exactly."""

import importlib.util

import keras
import numpy as np

from app.errors import UserError
from app.training.callbacks import Checkpoint, Progress, SeededDropout, Validate
from app.training.checkpoint import checkpoint_epoch, load_checkpoint
from app.training.devices import replicated
from app.training.run_folder import log


def fit(steps, config, folder):
    """Train a network, or resume its training.

    With the same config, data and machine the final weights do not depend on how often the run was interrupted: batches
    depend on seed, epoch and step alone, and a checkpoint holds the optimiser's state and its epoch.

    Args:
        steps: `app.systems.steps.Steps`.
        config: Of the system, its `training` with `epochs`, `replicas` and `validate_every`.
        folder: `RunFolder`.

    Returns:
        The trained model and its history, a list of dicts.

    Raises:
        UserError: If the checkpoint is damaged, the history is another training's, or the loss becomes NaN.
    """
    with replicated(config.training.replicas):
        model, history = _fit(steps, config, folder)
    if config.training.replicas > 1:  # what follows runs on one device
        model = load_checkpoint(folder.checkpoint)
    return model, history


def _fit(steps, config, folder):
    training, batches = config.training, steps.batches(config)
    model, done, history = _begun(steps, config, folder, len(batches))
    if done >= training.epochs:
        log(f"training is complete ({done} epochs)")
        return model, history
    checkpoint = Checkpoint(folder, history)
    progress = Progress(training.epochs, len(batches), done)
    validates = len(steps.objectives) > 1
    callbacks = [
        *([Validate(lambda: steps.validate(config, model), training.validate_every, training.epochs)] * validates),
        SeededDropout(batches.seed),
        progress,
        checkpoint,
        *_dashboard(folder),
        keras.callbacks.TerminateOnNaN(),
    ]
    try:
        # Batches are random by themselves; a shuffle by Keras' global generator would not resume.
        model.fit(
            steps.batches(config, done), epochs=training.epochs, initial_epoch=done, shuffle=False, callbacks=callbacks,
            verbose=0,
        )  # fmt: skip
    except Exception:  # what an inverse or eigenvectors say of NaN, before its loss is seen
        if all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in model.trainable_weights):
            raise
    finally:
        progress.on_train_end()  # Keras does not call it after an error, and the terminal's cursor is hidden
    if len(checkpoint.history) < training.epochs:
        raise UserError(
            f"{folder.path}: the loss became NaN in epoch {len(checkpoint.history) + 1}; train in another "
            "folder with a lower training.learning_rate"
        )
    return model, checkpoint.history


def _begun(steps, config, folder, steps_per_epoch):
    """The model to train, the epochs that it has been trained, their history."""
    last, epochs = folder.checkpoint, config.training.epochs
    if not last.is_file():
        model = steps.build(config)
        steps.compile(config, model)
        # Else its variables are made within the first step, which TensorFlow then traces twice.
        model.optimizer.build(model.trainable_variables)
        return model, 0, []
    model, done = load_checkpoint(last), checkpoint_epoch(last)
    if done is None:  # written before checkpoints held it
        done = int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // steps_per_epoch
    history = [row for row in folder.read_history() if row["epoch"] <= done]
    if [row["epoch"] for row in history] != list(range(1, done + 1)):
        raise UserError(
            f"{folder.path}: history.csv has {len(history)} of the {done} epochs that its checkpoint has: another "
            "training wrote here, or one file was restored alone; restore both, or train in another folder"
        )
    if done < epochs:
        log(f"resuming after epoch {done} of {epochs}")
    return model, done, history


def _dashboard(folder):
    """TensorBoard's files; on Keras' other backends TensorFlow, which writes them, need not be there."""
    if importlib.util.find_spec("tensorflow") is None:
        log("no TensorBoard files: TensorFlow is not installed")
        return []
    return [keras.callbacks.TensorBoard(folder.tensorboard, write_graph=False)]
