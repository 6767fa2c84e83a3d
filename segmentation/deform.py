"""A template's distances, deformed by a pose and a local field."""

import keras
from keras import layers, ops

from nets.ops.affine import affine_to_displacement, invert_affine, parameters_to_affine
from nets.ops.grid import coordinate
from nets.ops.integrate import integrate_velocity
from nets.ops.jacobian import jacobian_determinant
from nets.ops.sample import sample

SHARPNESS = 6.0  # logit per voxel of distance: a soft edge wider than a thin shape has more volume than the shape
STEPS = 7
FLOOR = 0.02  # of a Jacobian determinant whose logarithm is taken


def deform(distances, parameters=None, velocity=None, diffeomorphic=True):
    """Template distances in an image, `phi0 o L o G`.

    Formula: a voxel `x` of the image is read in the template at `y + u(y)`, `y = G x`; `G` is the inverse of the
    template's pose, `u` the flow of the velocity (diffeomorphic) or the velocity itself, in the template's frame.

    Args:
        distances: Tensor `(batch, i, j, k, structures)`, in voxels.
        parameters: `(batch, 9)`, as `PosePredictor` gives them, or None.
        velocity: `(batch, i / 2, j / 2, k / 2, 3)`, in voxels of its own grid, or None.
        diffeomorphic: Whether the velocity is integrated.

    Returns:
        Distances in the image, of the same shape; the whole displacement `(batch, i, j, k, 3)`, in voxels; its local
        part `u` in the template's frame, in voxels at half the resolution, or None.

    Raises:
        ValueError: If neither parameters nor velocity are given.

    Reference:
        - Bertrand, thesis, 2019, equations 4.4, 4.7, 4.9; Mory et al., 2012.
    """
    if parameters is None and velocity is None:
        raise ValueError("Expected parameters, a velocity, or both. Received none.")
    batch, *shape = ops.shape(distances)[:4]
    if parameters is None:
        total, local = ops.zeros((batch, *shape, 3)), None
    else:
        total, local = affine_to_displacement(invert_affine(parameters_to_affine(parameters)), shape), None
    if velocity is not None:
        local = integrate_velocity(velocity, STEPS) if diffeomorphic else ops.cast(velocity, "float32")
        # Voxel h of half the resolution has its middle at 2 h + 1/2.
        places = [ops.broadcast_to(coordinate(shape, axis), (1, *shape)) for axis in range(3)]
        total = total + 2.0 * sample(local, 0.5 * (total - ops.stack(places, axis=-1) - 0.5))
    return sample(distances, total), total, local


def penalties(local, distances):
    """How far a local field is from leaving the template as it is.

    Args:
        local: `(batch, i / 2, j / 2, k / 2, 3)`, in voxels of its grid, in the template's frame.
        distances: The template's, `(batch, i, j, k, structures)`.

    Returns:
        Mean square of its length, in voxels of the full resolution squared (thesis, eq. 4.11); mean square of the
        logarithm of its Jacobian determinant within 2 voxels of the template: growing and shrinking are the pose's.
        Each `(batch,)`.
    """
    determinant = jacobian_determinant(local)
    # Below the floor a straight line, so that a fold has a slope that leads out of it.
    logarithm = ops.log(ops.maximum(determinant, FLOOR)) + ops.minimum(determinant / FLOOR - 1.0, 0.0)
    # A voxel of half the resolution has its middle between eight of the full one.
    whole = ops.average_pool(ops.max(distances, axis=-1, keepdims=True), 2, strides=2, data_format="channels_last")
    near = ops.cast(whole[..., 0] > -2.0, "float32")
    volume = ops.sum(near * logarithm**2, axis=(1, 2, 3)) / (ops.sum(near, axis=(1, 2, 3)) + 1.0)
    return 4.0 * ops.mean(ops.sum(local**2, axis=-1), axis=(1, 2, 3)), volume


@keras.saving.register_keras_serializable(package="kerasmorph")
class Deform(keras.layers.Layer):
    """`deform` as a layer that adds `penalties` to the loss.

    Args:
        diffeomorphic: Whether the velocity is integrated.
        local_weight: Of the local field's mean square.
        volume_weight: Of the logarithm of its Jacobian.

    Call arguments:
        distances: Of the template.
        parameters: Pose, or None.
        velocity: Or None.

    Input shape:
        As `deform`.

    Output shape:
        Logits `(batch, i, j, k, structures)` and displacement `(batch, i, j, k, 3)`.
    """

    def __init__(self, diffeomorphic=True, local_weight=0.01, volume_weight=0.05, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.diffeomorphic, self.local_weight, self.volume_weight = diffeomorphic, local_weight, volume_weight

    def call(self, distances, parameters=None, velocity=None):
        moved, total, local = deform(distances, parameters, velocity, self.diffeomorphic)
        if local is not None:
            length, volume = penalties(local, distances)
            self.add_loss(ops.mean(self.local_weight * length + self.volume_weight * volume))
        return SHARPNESS * moved, total

    def compute_output_shape(self, distances_shape, parameters_shape=None, velocity_shape=None):
        return distances_shape, (*distances_shape[:-1], 3)

    def get_config(self):
        return {
            **super().get_config(), "diffeomorphic": self.diffeomorphic, "local_weight": self.local_weight,
            "volume_weight": self.volume_weight,
        }  # fmt: skip


@keras.saving.register_keras_serializable(package="kerasmorph")
class ToTemplate(keras.layers.Layer):
    """Maps of an image, read where a pose puts the template: in the template's frame.

    Call arguments:
        maps: At half the resolution.
        parameters: Pose in voxels of the full resolution. No gradient goes there.

    Input shape:
        `(batch, i, j, k, channels)` and `(batch, 9)`.

    Output shape:
        As the maps.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, maps, parameters):
        parameters = ops.stop_gradient(parameters)
        parameters = ops.concatenate([0.5 * parameters[:, :3], parameters[:, 3:]], axis=-1)
        field = affine_to_displacement(parameters_to_affine(parameters), ops.shape(maps)[1:4])
        return sample(maps, field, fill_value=0.0)

    def compute_output_shape(self, maps_shape, parameters_shape):
        return maps_shape


@keras.saving.register_keras_serializable(package="kerasmorph")
class SmoothVelocity(keras.layers.Layer):
    """Velocities bounded and smoothed.

    Args:
        most: Largest velocity along an axis, in voxels of its grid.

    Call arguments:
        raw: What a convolution gives.

    Input shape:
        `(batch, i, j, k, 3)`.

    Output shape:
        As the input: in `[-most, most]`, averaged twice over 3 voxels an axis.

    Reference:
        - Bertrand, thesis, 2019, section 4.4.2 (mean filter); TEDS-Net, 2021 (bound).
    """

    def __init__(self, most=4.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.most = most
        self.mean = layers.AveragePooling3D(3, strides=1, padding="same", dtype="float32")

    def call(self, raw):
        return self.mean(self.mean(self.most * ops.tanh(ops.cast(raw, "float32") / self.most)))

    def compute_output_shape(self, raw_shape):
        return raw_shape

    def get_config(self):
        return {**super().get_config(), "most": self.most}


@keras.saving.register_keras_serializable(package="kerasmorph")
class TemplateBank(keras.layers.Layer):
    """The template's distances for each volume of a batch: one template, or several mixed by shares.

    Args:
        members: How many templates.
        size: Voxels of the cube.
        structures: How many.
        learned: Whether training changes the templates.

    Call arguments:
        shares: `(batch, members)`, each row of sum 1.

    Input shape:
        `(batch, members)`.

    Output shape:
        `(batch, size, size, size, structures)`.
    """

    def __init__(self, members, size, structures, learned=False, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.members, self.size, self.structures, self.learned = members, size, structures, learned

    def build(self, shares_shape):
        self.distances = self.add_weight(
            name="distances",
            shape=(self.members, self.size, self.size, self.size, self.structures),
            initializer="zeros",
            trainable=self.learned,
        )

    def call(self, shares):
        flat = ops.reshape(self.distances, (self.members, self.size**3 * self.structures))
        return ops.reshape(ops.matmul(shares, flat), (-1, *[self.size] * 3, self.structures))

    def compute_output_shape(self, shares_shape):
        return (shares_shape[0], *[self.size] * 3, self.structures)

    def get_config(self):
        return {
            **super().get_config(), "members": self.members, "size": self.size, "structures": self.structures,
            "learned": self.learned,
        }  # fmt: skip


@keras.saving.register_keras_serializable(package="kerasmorph")
class Shares(keras.layers.Layer):
    """Softly chosen shares of templates: alike at the start; of one template 1.

    Args:
        members: How many templates.

    Call arguments:
        lowest: Maps of the lowest level.

    Input shape:
        `(batch, i, j, k, channels)`.

    Output shape:
        `(batch, members)`, each row of sum 1.
    """

    def __init__(self, members, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.members = members
        self.choose = layers.Dense(members, kernel_initializer="zeros", dtype="float32", name="choose")

    def build(self, lowest_shape):
        if self.members > 1:
            self.choose.build((None, lowest_shape[-1]))

    def call(self, lowest):
        mean = ops.mean(ops.cast(lowest, "float32"), axis=(1, 2, 3))
        return ops.softmax(self.choose(mean)) if self.members > 1 else ops.ones_like(mean[:, :1])

    def compute_output_shape(self, lowest_shape):
        return lowest_shape[0], self.members

    def get_config(self):
        return {**super().get_config(), "members": self.members}
