"""A predicted transform improved at test time: towards the network's own segmentation and a user's points."""

import dataclasses

import keras
import numpy as np
from keras import layers, ops

from nets.losses.dice import SegmentationLoss
from nets.ops.sample import sample_at
from segmentation.deform import SHARPNESS, deform, penalties
from segmentation.pose import enough_seen, nearly_mask

MARGIN = 0.05  # voxels by which a point is wanted inside or outside
INSISTENCE = 0.1  # of points at the start, a voxel
ROUND = 20  # steps between two looks at the points
SPACES = 16  # points come in multiples: a graph is traced once for each number


@dataclasses.dataclass(frozen=True)
class Refined:
    """What refinement leaves.

    Args:
        parameters: `(1, 9)`, or None.
        velocity: `(1, i / 2, j / 2, k / 2, 3)`, or None.
        unmet: Points that are still on the wrong side, bool `(n,)`.
        steps: That were taken.
    """

    parameters: np.ndarray | None
    velocity: np.ndarray | None
    unmet: np.ndarray
    steps: int


class Refinement:
    """Gradient steps on one volume's transform; the network stays as it is.

    What is minimised: the loss of training with the network's soft segmentation in the place of the true mask, the
    penalties of the local field, the change of pose, and how far points are from the side on which they are wanted;
    this counts the more the longer they are not there, so that the shape gives way no more than it must. The field
    that is added is smoothed and integrated as the network's own, so that the mask keeps its topology.

    Args:
        network: `TemplateNetwork`.

    Reference:
        - Bertrand, thesis, 2019, section 5.2 (user interactions); Atlas-ISTN, 2022 (refinement).
    """

    def __init__(self, network):
        self.network = network
        self.steps = {}

    def __call__(self, found, distances, points=None, signs=None, steps=20, most=300):
        """Refine.

        Args:
            found: What the network gave for one volume, dict of arrays with a batch of 1.
            distances: The template's, `(1, size, size, size, structures)`.
            points: `(n, 3)`, in voxels of the cube, or None.
            signs: `(n, structures)`: 1 inside, -1 outside, 0 where it does not matter.
            steps: How many at least.
            most: How many at most, while points are not met.

        Returns:
            `Refined`.
        """
        count = 0 if points is None else len(points)
        spaces = -(-count // SPACES) * SPACES
        room = np.zeros((1, max(spaces, 1), 3), "float32")
        wanted = np.zeros((1, max(spaces, 1), distances.shape[-1]), "float32")
        if count:
            room[0, :count], wanted[0, :count] = points, signs
        inputs = {"distances": distances, "evidence": found["evidence"], "points": room, "signs": wanted}
        inputs |= {name: found[name] for name in ("parameters", "velocity") if name in found}
        inputs = {name: ops.convert_to_tensor(tensor) for name, tensor in inputs.items()}
        if spaces not in self.steps:
            self.steps[spaces] = self._built(inputs)
        step = self.steps[spaces]
        for weight in [*step.weights, *step.optimizer.variables]:
            if "learning_rate" not in weight.path:
                weight.assign(ops.zeros(weight.shape, weight.dtype))
        step.insistence.assign(INSISTENCE)
        done, unmet = 0, np.zeros(0, bool)
        while True:
            if done >= steps:
                unmet = self._unmet(step, inputs, count) if count else unmet
                if not unmet.any() or done >= most:
                    break
            for _ in range(min(ROUND, steps - done) if done < steps else ROUND):
                step.train_on_batch(inputs)
                done += 1
            if count:
                step.insistence.assign(1.5 * step.insistence)
        changed = {name: ops.convert_to_numpy(tensor) for name, tensor in step.changed(inputs).items()}
        return Refined(changed.get("parameters"), changed.get("velocity"), unmet, done)

    def _built(self, inputs):
        step = RefinementStep(self.network.get_config())
        step.compile(keras.optimizers.Adam(0.05), jit_compile=keras.backend.backend() == "jax")
        step.build({name: tuple(tensor.shape) for name, tensor in inputs.items()})
        # Else made while the first step is traced, which TensorFlow then traces again: seconds.
        step.optimizer.build(step.trainable_variables)
        return step

    @staticmethod
    def _unmet(step, inputs, count):
        short = ops.convert_to_numpy(step.predict_on_batch(inputs))[0, :count]
        return short.max(axis=-1) > MARGIN


def on_side(distances, signs):
    """How far points are on the side on which they are wanted.

    Args:
        distances: Of each structure where the points lead to, `(..., structures)`: where two overlap the deeper one
            counts.
        signs: Of the same shape: above 0 inside of the structure, else outside.

    Returns:
        Tensor of the same shape, in voxels; below 0 on the wrong side.
    """
    distances, signs = (ops.convert_to_tensor(array, "float32") for array in (distances, signs))
    inside = distances
    if ops.shape(distances)[-1] > 1:
        best, after = ops.split(ops.top_k(distances, 2)[0], 2, axis=-1)
        others = ops.where(distances == best, after, best)
        inside = ops.minimum(distances, 0.5 * (distances - others))
    return ops.where(signs > 0, inside, -distances)


class RefinementStep(keras.Model):
    """How far each point is from where it is wanted, `(1, n, structures)`; all else is in its losses."""

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.mean = layers.AveragePooling3D(3, strides=1, padding="same")
        self.loss_of_masks = SegmentationLoss()

    def build(self, shapes):
        self.insistence = self.add_weight(name="insistence", shape=(), trainable=False)
        self.moves = self.add_weight(name="moves", shape=(1, 9), initializer="zeros")
        if "velocity" in shapes:
            self.bends = self.add_weight(name="bends", shape=(1, *shapes["velocity"][1:]), initializer="zeros")

    def changed(self, inputs):
        found = {}
        if "parameters" in inputs:
            before, moves = inputs["parameters"], self.moves
            found["parameters"] = ops.concatenate([
                before[:, :3] + moves[:, :3], before[:, 3:6] + 5.0 * moves[:, 3:6],
                before[:, 6:] * ops.exp(0.1 * moves[:, 6:]),
            ], axis=-1)  # fmt: skip
        if "velocity" in inputs:
            found["velocity"] = inputs["velocity"] + self.mean(self.mean(self.bends))
        return found

    def call(self, inputs):
        distances, now = inputs["distances"], self.changed(inputs)
        moved, total, local = deform(distances, **now, diffeomorphic=self.settings["diffeomorphic"])
        # Where next to nothing is seen the template is not to shrink to it.
        seen = ops.sum(nearly_mask(inputs["evidence"]), axis=(1, 2, 3, 4))
        share = enough_seen(seen, ops.sum(ops.sigmoid(SHARPNESS * ops.max(distances, axis=-1))))
        self.add_loss(ops.mean(share * self.loss_of_masks(ops.sigmoid(inputs["evidence"]), SHARPNESS * moved)))
        if local is not None:
            length, volume = penalties(local, distances)
            weights = self.settings["local_weight"], self.settings["volume_weight"]
            self.add_loss(ops.mean(weights[0] * length + weights[1] * volume))
        self.add_loss(0.02 * ops.sum(self.moves**2))
        # Points are read where they lead, not off the deformed volume: exact between its voxels.
        places = inputs["points"] + sample_at(total, inputs["points"])
        reached = sample_at(distances, places)
        short = ops.relu(MARGIN - on_side(reached, inputs["signs"])) * ops.abs(inputs["signs"])
        self.add_loss(self.insistence * ops.sum(short))
        return short
