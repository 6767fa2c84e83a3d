"""Descriptors of an image's own structure, equal in images of different contrasts."""

import itertools

from keras import ops

from nets.ops.stencil import box_taps, shifted, smooth

LEAST, MOST = 1e-3, 1e3  # of the local variance, in shares of the image's mean


def mind(image, radius=1, distance=1):
    """Modality independent neighbourhood descriptor with self-similarity context.

    Formula: per pair of neighbours y, z of a voxel, at a right angle to each other,
    `exp(-(D(y, z) - min D) / V)`: D the mean squared difference of the boxes about y and z, V the mean of D - min D
    over the pairs.

    Args:
        image: Tensor `(batch, 1, i, j[, k])`.
        radius: Of the boxes, in voxels.
        distance: Of the neighbours from their voxel, in voxels.

    Returns:
        Float32 tensor `(batch, 12, i, j, k)`, in 2D `(batch, 4, i, j)`, from 0 to 1.

    Reference:
        - Heinrich et al., Towards realtime multimodal fusion for image-guided interventions using self-similarities,
          MICCAI 2013.
    """
    rank = len(image.shape) - 2
    neighbours = [(axis, sign * distance) for axis in range(rank) for sign in (-1, 1)]
    moved = {each: shifted(image, each[0] + 2, each[1]) for each in neighbours}
    pairs = [(one, other) for one, other in itertools.combinations(neighbours, 2) if one[0] != other[0]]
    differences = ops.concatenate([ops.square(moved[one] - moved[other]) for one, other in pairs], axis=1)
    differences = smooth(differences, box_taps(radius))
    differences = differences - ops.min(differences, axis=1, keepdims=True)
    variance = ops.mean(differences, axis=1, keepdims=True)
    whole = ops.mean(variance, axis=tuple(range(1, rank + 2)), keepdims=True)
    return ops.exp(-differences / ops.clip(variance, LEAST * whole + 1e-12, MOST * whole + 1e-12))
