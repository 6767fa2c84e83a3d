"""Tensors for tests of operations."""

import keras
import numpy as np
from scipy.ndimage import map_coordinates


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def scipy_sample(volume, displacement, order, mode="nearest", value=0.0):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in displacement.shape[1:-1]), indexing="ij"))
    return np.stack(
        [
            np.stack(
                [
                    map_coordinates(v[..., c], grid + np.moveaxis(u, -1, 0), order=order, mode=mode, cval=value)
                    for c in range(v.shape[-1])
                ],
                axis=-1,
            )
            for v, u in zip(volume, displacement, strict=True)
        ]
    )
