"""VoxelMorph: a network that registers a pair, with the hyper-parameters fixed."""

import dataclasses

import keras
from keras import layers

from nets import unet as widths
from nets.layers import ConvUpsampled, CropLike, IntegrateVelocity, ResizeField, SpatialTransformer
from nets.precision import layers_in
from nets.registration.objective import Objective
from nets.registration.velocity import velocity_network


def image_input(rank, name):
    """Keras input of one image of any size: `(batch, i, j[, k], 1)`."""
    return keras.Input(shape=(*[None] * rank, 1), name=name)


def registration_outputs(moving, fixed, velocity, integration_steps, velocity_resolution):
    """The graph from a velocity to the registration.

    Args:
        moving: Keras tensor `(batch, i, j[, k], 1)`.
        fixed: Keras tensor of the same shape.
        velocity: Keras tensor at `1 / velocity_resolution` of the padded images' size.
        integration_steps: Squarings of the integration.
        velocity_resolution: 1, or 2 for a velocity at half the images' resolution.

    Returns:
        Dict of Keras tensors: `moved`, `displacement` (voxels of the fixed image) and
        `velocity` (voxels of its own, padded grid).
    """
    displacement = IntegrateVelocity(integration_steps, name="integrate")(velocity)
    displacement = ResizeField(velocity_resolution, name="resize")(displacement)
    displacement = CropLike(name="displacement", dtype="float32")(displacement, fixed)
    moved = SpatialTransformer(name="moved")(moving, displacement)
    return {"moved": moved, "displacement": displacement, "velocity": velocity}


class RegistrationModel(keras.Model):
    """What VoxelMorph and HyperMorph share: the training step's loss, and its parts as metrics."""

    hyper_parameters = ()

    def prepare_training(self, objective):
        self.objective = objective
        names = ["similarity", "smoothness"] + ["overlap"] * bool(objective.labels) + list(objective.terms)
        self.trackers = [keras.metrics.Mean(name=name) for name in names]
        self.jit_compile = _jit_compile()

    def compile(self, optimizer="rmsprop", **kwargs):
        super().compile(optimizer=optimizer, **{**kwargs, "jit_compile": _jit_compile()})

    def compile_from_config(self, config):
        # Keras refuses to compile a loaded model whose compile() is not its own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def hyper_values(self, x):
        """Dict from hyper-parameter to its values in a batch; empty where all are fixed."""
        return {hyper.name: x["hyper"][:, column] for column, hyper in enumerate(self.hyper_parameters)}

    def hyper_highest(self):
        """Dict from hyper-parameter to its highest value."""
        return {hyper.name: hyper.high for hyper in self.hyper_parameters}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # PyTorch's train_on_batch hands the loss NumPy arrays.
        x, y = (keras.tree.map_structure(keras.ops.convert_to_tensor, part) if part else None for part in (x, y))
        parts = self.objective(x["fixed"], y_pred, y, self.hyper_values(x), self.hyper_highest())
        for tracker in self.trackers:
            tracker.update_state(parts[tracker.name])
        return _MEAN_OVER_REPLICAS(parts["loss"], parts["loss"])


class _MeanOverReplicas(keras.losses.Loss):
    """Keras' own mean over the batch, which takes its share where a batch is shared out."""

    def call(self, y_true, y_pred):
        return y_pred


_MEAN_OVER_REPLICAS = _MeanOverReplicas(name="mean")


def _jit_compile():
    # XLA's 3D convolutions are 4 to 40 times slower than oneDNN's on a CPU, and Keras' own
    # default on TensorFlow is to use them; JAX cannot do without.
    return keras.backend.backend() == "jax"


@keras.saving.register_keras_serializable(package="kerasmorph")
class VoxelMorph(RegistrationModel):
    """Registration of a pair by a stationary velocity from a U-Net.

    Inputs `moving`, `fixed`; outputs `moved`, `displacement`, `velocity`.

    Args:
        rank: 2 or 3.
        objective: `Objective`, or the dict of its arguments.
        features: "images" (VoxelMorph's network) or "forces": see `nets.registration.velocity`.
        encoder: Filters of each level down.
        decoder: Filters of each level up.
        final: Filters of the last convolutions.
        velocity_resolution: 1, or 2 for half resolution.
        integration_steps: Squarings of the integration.
        precision: "float32", or "bfloat16" for the convolutions alone; fields stay float32.

    Input shape:
        Dict of two tensors `(batch, i, j[, k], 1)`, any size, intensities in [0, 1].

    Output shape:
        Dict: `moved (batch, i, j[, k], 1)`, `displacement (batch, i, j[, k], rank)`, and
        `velocity` on the padded grid at its own resolution.

    Example:

    >>> model = VoxelMorph(rank=3)
    >>> model.compile("adam")
    >>> model.fit(pairs)

    Reference:
        - Balakrishnan et al., VoxelMorph, 2019; Dalca et al., 2019.
    """

    def __init__(
        self,
        rank=3,
        objective=None,
        features="images",
        encoder=widths.ENCODER,
        decoder=widths.DECODER,
        final=widths.FINAL,
        velocity_resolution=2,
        integration_steps=7,
        precision="float32",
        **kwargs,
    ):
        objective = Objective(**objective) if isinstance(objective, dict) else objective or Objective()
        conv = (layers.Conv2D, layers.Conv3D)[rank - 2]

        def convolve(x, filters, name, kernel_initializer="he_normal", dtype=None):
            options = {"kernel_initializer": kernel_initializer, "name": name, "dtype": dtype}
            if isinstance(x, list):
                return ConvUpsampled(filters, **options)(*x)
            return conv(filters, 3, padding="same", **options)(x)

        network = velocity_network(features)
        with layers_in(precision):
            moving, fixed = image_input(rank, "moving"), image_input(rank, "fixed")
            velocity = network(moving, fixed, convolve, encoder, decoder, final, velocity_resolution)
            outputs = registration_outputs(moving, fixed, velocity, integration_steps, velocity_resolution)
            super().__init__(inputs={"moving": moving, "fixed": fixed}, outputs=outputs, **kwargs)
        self.arguments = {
            "rank": rank,
            "features": features,
            "encoder": list(encoder),
            "decoder": list(decoder),
            "final": list(final),
            "velocity_resolution": velocity_resolution,
            "integration_steps": integration_steps,
            "precision": precision,
        }
        self.prepare_training(objective)

    def get_config(self):
        return {
            **self.arguments,
            "objective": dataclasses.asdict(self.objective),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
