"""A pose to begin with: the one constant pose under which a network finds most of a new population."""

import keras
import numpy as np

# Shares of the bounds: all scales together, then the angles, then each scale, then the translations.
DIRECTIONS = np.concatenate([[[0] * 6 + [1] * 3], np.eye(9)[3:6], np.eye(9)[6:], np.eye(9)[:3]])
FIRST_STEP = 1 / 3
HALVINGS = 2
LEAST_GAIN = 1e-3


def start_pose(model, layer, pairs, better=lambda dice: None):
    """Let a network begin with the pose, the same for all volumes, that raises its mean Dice the most.

    Compass search over the nine bounded parameters, from no pose at all. Gradients do not find it: from a population
    that lies otherwise and is of another size a source network answers little, and a predictor that follows them runs
    into its bounds.

    Args:
        model: Keras model of a dict of `image`, that returns logits; as it is before its training.
        layer: Its `GeometricTransform`.
        pairs: List of images and masks of the new population, each `(batch, i, j, k, 1)`.
        better: Function `(dice)`, called at the start and at every pose that is better.

    Returns:
        Mean Dice of the volumes without a pose, and with the one found.
    """
    opened, known = OpenNetwork(model), {}

    def dice(shares):
        key = tuple(np.round(shares, 6))
        if key not in known:
            layer.start_at(shares)
            known[key] = float(np.mean(np.concatenate([_dice(opened, *pair) for pair in pairs])))
        return known[key]

    at, step = np.zeros(9), FIRST_STEP
    before = dice(at)
    better(before)
    for _ in range(HALVINGS + 1):
        moved = True
        while moved:
            moved = False
            for direction in np.concatenate([DIRECTIONS, -DIRECTIONS]):
                tried = at + step * direction
                if np.abs(tried).max() < 1 and dice(tried) > dice(at) + LEAST_GAIN:
                    at, moved = tried, True
                    better(dice(at))
        step /= 2
    layer.start_at(at)
    return before, dice(at)


class OpenNetwork(keras.Model):
    """A network as in training: its gate is open. What is frozen or untrained has no other behaviour there."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def call(self, inputs):
        return self.model(inputs, training=True)


def _dice(network, images, masks):
    found, true = network.predict_on_batch({"image": images}) > 0, masks > 0.5
    axes = tuple(range(1, images.ndim))
    return 2 * (found & true).sum(axis=axes) / np.maximum(found.sum(axis=axes) + true.sum(axis=axes), 1)
