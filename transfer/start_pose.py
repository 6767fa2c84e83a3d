"""A pose to begin with: the one constant pose under which a source network finds most of a new population."""

import keras
import numpy as np

from nets.ops.affine import affine_to_displacement, parameters_to_affine
from nets.ops.sample import sample
from transfer.geometric_transform import UndoTransform

# Shares of the bounds: all scales together, then the angles, then each scale, then the translations.
DIRECTIONS = np.concatenate([[[0] * 6 + [1] * 3], np.eye(9)[3:6], np.eye(9)[6:], np.eye(9)[:3]])
FIRST_STEP = 1 / 3
HALVINGS = 2
LEAST_GAIN = 1e-3


def start_pose(source, layer, images, masks):
    """Let a layer begin with the pose, the same for all volumes, that raises a source network's mean Dice the most.

    Compass search over the layer's nine bounded parameters, from no pose at all. Gradients do not find it: from a
    population that lies otherwise and is of another size the network answers little, and a predictor that follows
    them runs into its bounds.

    Args:
        source: `SegmentationUNet`, trained.
        layer: `GeometricTransform`, built.
        images: Some volumes of the new population, `(n, i, j, k, 1)`.
        masks: Theirs, of the same shape.

    Returns:
        Mean Dice of the volumes without a pose, and with the one found.
    """
    network, known = PosedNetwork(source, layer), {}

    def dice(shares):
        key = tuple(np.round(shares, 6))
        if key not in known:
            known[key] = _mean_dice(network, shares, images, masks)
        return known[key]

    at = np.zeros(9)
    before, step = dice(at), FIRST_STEP
    for _ in range(HALVINGS + 1):
        better = True
        while better:
            better = False
            for tried in (at + sign * step * direction for direction in DIRECTIONS for sign in (-1, 1)):
                if np.abs(tried).max() < 1 and dice(tried) > dice(at) + LEAST_GAIN:
                    at, better = tried, True
                    break
        step /= 2
    layer.start_at(at)
    return before, dice(at)


class PosedNetwork(keras.Model):
    """A source network under a pose that is given, in one graph."""

    def __init__(self, source, layer):
        super().__init__()
        self.source, self.layer, self.undo = source, layer, UndoTransform()

    def call(self, inputs):
        image, shares = inputs
        matrix = parameters_to_affine(self.layer.bounded(shares, image))
        moved = sample(image, affine_to_displacement(matrix, image.shape[1:4]), fill_value=0.0)
        return self.undo(self.source({"image": moved}), matrix)


def _mean_dice(network, shares, images, masks):
    shares = np.repeat(shares[None].astype("float32"), len(images), axis=0)
    found, true = network.predict_on_batch([images, shares]) > 0, masks > 0.5
    axes = tuple(range(1, images.ndim))
    return float(
        np.mean(2 * (found & true).sum(axis=axes) / np.maximum((found.sum(axis=axes) + true.sum(axis=axes)), 1))
    )
