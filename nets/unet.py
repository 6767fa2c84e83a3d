"""The U-Net of VoxelMorph, in 2D and 3D."""

import math

from keras import layers

ENCODER = (16, 32, 32, 32)
DECODER = (32, 32, 32, 32)
FINAL = (32, 16, 16)


def unet(
    x, convolve, encoder=ENCODER, decoder=DECODER, final=FINAL, output_resolution=1, joined=(), prefix="", between=None
):
    """Features of an image (pair) by a U-Net.

    Convolution and LeakyReLU(0.2) before each pooling by 2; nearest upsampling and the skip
    connection on the way back; `final` convolutions at the output's resolution. With the
    default widths this is VoxelMorph's network.

    Args:
        x: Keras tensor `(batch, i, j[, k], channels)`; sizes divisible by
            `2 ** len(encoder)`.
        convolve: Function `(x, filters, name) -> x`: what a convolution is. The caller
            passes plain or generated ones. In the decoder `x` is a list: coarse features, and
            those beside which they are to be upsampled (`nets.layers.ConvUpsampled`).
        encoder: Filters of each level on the way down: a number, or a sequence for several
            convolutions a level.
        decoder: Filters of each level on the way up, as many levels as `encoder`.
        final: Filters of the convolutions after the last upsampling.
        output_resolution: 1 for the input's resolution, 2 for half, 4 for a quarter: so many
            upsamplings, with their skip connections, are left out.
        joined: Tensors that join the levels below the first, in order, each at its level's
            resolution.
        prefix: Beginning of every layer's name.
        between: Function `(x, place) -> x`, or None: what else is done after the convolutions of the level
            "encoder_0", ..., "decoder_0" (the decoder's highest number is the lowest level) and after each pooling,
            "encoder_0_pool", ...

    Returns:
        Keras tensor `(batch, i / output_resolution, ..., filters of the last convolution)`.

    Raises:
        ValueError: If the widths do not match or the resolution is no power of 2 within
            reach.

    Reference:
        - Balakrishnan et al., VoxelMorph, 2019; the HyperMorph paper, section 3.3.
    """
    left_out = _levels_left_out(encoder, decoder, output_resolution)
    rank = len(x.shape) - 2
    pool = (layers.MaxPooling2D, layers.MaxPooling3D)[rank - 2]

    def block(x, filters, name, pooled=False):
        x = convolve(x, filters, f"{prefix}{name}")
        if pooled:
            x = pool(2, name=f"{prefix}{name}_pool")(x)
        return layers.LeakyReLU(negative_slope=0.2, name=f"{prefix}{name}_activation")(x)

    def level_blocks(x, filters, name, pooled=False):
        # Where no skip connection needs the level, the pooling comes before the activation: both
        # orders give the same numbers, and this one activates an eighth of the voxels.
        widths = [filters] if isinstance(filters, int) else filters
        for index, width in enumerate(widths):
            last = index == len(widths) - 1
            x = block(x, width, f"{name}_{index}" if len(widths) > 1 else name, pooled and last)
        return between(x, name) if between else x

    skips = []
    for level, filters in enumerate(encoder):
        if 0 < level <= len(joined):
            x = layers.Concatenate(name=f"{prefix}encoder_{level}_join")([x, joined[level - 1]])
        x = level_blocks(x, filters, f"encoder_{level}", pooled=level < left_out)
        skips.append(x)
        if level >= left_out:
            x = pool(2, name=f"{prefix}encoder_{level}_pool")(x)
            x = between(x, f"encoder_{level}_pool") if between else x
    for level, filters in reversed(list(enumerate(reversed(decoder)))):
        x = level_blocks(x, filters, f"decoder_{level}")
        if level >= left_out:
            x = [x, skips[level]]
    for index, filters in enumerate(final):
        x = block(x, filters, f"final_{index}")
    if isinstance(x, list):  # no convolution was left to take the two together
        upsample = (layers.UpSampling2D, layers.UpSampling3D)[rank - 2]
        x = layers.Concatenate(name=f"{prefix}joined")([upsample(2, name=f"{prefix}upsampled")(x[0]), x[1]])
    return x


def _levels_left_out(encoder, decoder, output_resolution):
    levels = math.log2(output_resolution) if output_resolution > 0 else -1
    if len(encoder) != len(decoder) or (levels and levels not in range(len(encoder))):
        raise ValueError(
            "Expected as many decoder as encoder levels, and an output resolution 1, 2, 4, ... "
            f"below 2 ** levels. Received: encoder={encoder}, decoder={decoder}, "
            f"output_resolution={output_resolution}"
        )
    return levels
