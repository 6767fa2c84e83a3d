"""The two networks from a pair of images to a velocity: VoxelMorph's, and one led by forces.

Both take what a convolution is as an argument, so that both can be hypernetworks.
"""

import math

import keras
from keras import layers

from nets.layers import IntegrateVelocity, PadToMultiple, RegistrationForces, ResizeField, SpatialTransformer
from nets.unet import unet

WINDOWS = (9, 5, 3)


def velocity_from_images(moving, fixed, convolve, encoder, decoder, final, resolution):
    """VoxelMorph's network: a U-Net over the two images side by side.

    Args:
        moving: Keras tensor `(batch, i, j[, k], 1)`.
        fixed: Keras tensor of the same shape.
        convolve: Function `(x, filters, name, kernel_initializer, dtype) -> x`.
        encoder, decoder, final: Widths, as for `nets.unet.unet`.
        resolution: 1, or 2 for a velocity at half the images' resolution.

    Returns:
        Keras tensor `(batch, i / resolution, ..., rank)`, sizes padded, float32.

    Reference:
        - Balakrishnan et al., VoxelMorph, 2019; the HyperMorph paper, section 3.3.
    """
    x = layers.Concatenate(name="pair")([moving, fixed])
    x = PadToMultiple(2 ** len(encoder), name="pad")(x)
    x = unet(x, convolve, encoder, decoder, final, resolution)
    return _velocity(x, convolve, len(moving.shape) - 2, "")


def velocity_from_forces(moving, fixed, convolve, encoder, decoder, final, resolution):
    """A network that sees, at every level, the demons force of the images at that level.

    First at twice the velocity's voxel size; the moving image is warped by what was found,
    and a second U-Net, at the velocity's resolution, adds what the remaining force asks for.
    The full-resolution level, the most expensive of VoxelMorph, is not needed.

    Args:
        moving: Keras tensor `(batch, i, j[, k], 1)`.
        fixed: Keras tensor of the same shape.
        convolve: Function `(x, filters, name, kernel_initializer, dtype) -> x`.
        encoder, decoder, final: Widths as for VoxelMorph's network; levels finer than the
            velocity are left out.
        resolution: 1, or 2 for a velocity at half the images' resolution.

    Returns:
        Keras tensor `(batch, i / resolution, ..., rank)`, sizes padded, float32.
    """
    rank = len(moving.shape) - 2
    levels = len(encoder)
    first = int(math.log2(resolution))
    pad = PadToMultiple(2**levels, name="pad", dtype="float32")
    pool = (layers.AveragePooling2D, layers.AveragePooling3D)[rank - 2]
    images = [(pad(moving), pad(fixed))]
    for level in range(max(levels - 1, first + 1)):
        halve = pool(2, name=f"image_{level + 1}", dtype="float32")
        images.append(tuple(halve(image) for image in images[-1]))

    def stage(pyramid, level, name):
        down, up = encoder[level:], decoder[: levels - level]
        forces = [
            RegistrationForces(WINDOWS[min(depth + level - first, len(WINDOWS) - 1)], name=f"{name}forces_{depth}")(
                *pair
            )
            for depth, pair in enumerate(pyramid[: max(1, len(down))])
        ]
        x = unet(forces[0], convolve, down, up, final, joined=forces[1:], prefix=name)
        return _velocity(x, convolve, rank, name)

    coarse = stage(images[first + 1 :], first + 1, "coarse_")
    warped = IntegrateVelocity(5, name="coarse_integrate")(coarse)
    warped = ResizeField(2, name="coarse_resize")(warped)
    found = SpatialTransformer(name="coarse_moved")(images[first][0], warped)
    pyramid = [(found, images[first][1])]
    for level in range(first + 1, levels):
        pyramid.append((pool(2, name=f"found_{level}", dtype="float32")(pyramid[-1][0]), images[level][1]))
    rest = stage(pyramid, first, "fine_")
    coarse = ResizeField(2, name="coarse_velocity_resize")(coarse)
    return layers.Add(name="velocity", dtype="float32")([coarse, rest])


def _velocity(x, convolve, rank, prefix):
    # A new initialiser each time: it draws its seed when it is made, after the user has set one.
    small = keras.initializers.RandomNormal(stddev=1e-5)
    # In half precision a displacement of 20 voxels would come in steps of a tenth.
    velocity = convolve(x, rank, f"{prefix}velocity_conv", small, dtype="float32")
    return layers.Identity(name=f"{prefix}velocity", dtype="float32")(velocity)


VELOCITIES = {"images": velocity_from_images, "forces": velocity_from_forces}


def velocity_network(features):
    """The network of a name.

    Args:
        features: "images" or "forces".

    Returns:
        `velocity_from_images` or `velocity_from_forces`.

    Raises:
        ValueError: If the name is unknown.
    """
    if features not in VELOCITIES:
        raise ValueError(
            f"Received an invalid value for `features`, expected one of {', '.join(VELOCITIES)}. "
            f"Received: features={features}"
        )
    return VELOCITIES[features]
