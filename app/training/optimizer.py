"""Optimisers of the trainings."""

import keras


def adam(training, steps):
    """Adam with a cosine decay to a fiftieth over the whole training.

    Args:
        training: Section of a config with `epochs`, `learning_rate` and `decay`.
        steps: Batches per epoch.

    Returns:
        Keras optimiser.
    """
    return keras.optimizers.Adam(learning_rate(training, steps))


def learning_rate(training, steps):
    """The rate of a training; arguments as of `adam`.

    Returns:
        Float, or a schedule of Keras.
    """
    if not training.decay:
        return training.learning_rate
    return keras.optimizers.schedules.CosineDecay(training.learning_rate, training.epochs * steps, alpha=0.02)
