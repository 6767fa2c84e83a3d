"""Moments of soft shapes: how much there is of each, where it lies, how far it reaches."""

from keras import ops


def soft_moments(weights):
    """Mass, centre and covariance of soft shapes, one a channel.

    Args:
        weights: Tensor `(batch, i, j, k, channels)`, not negative.

    Returns:
        `(batch, channels)`; `(batch, channels, 3)` in voxels about the grid's centre; `(batch, channels, 3, 3)` in
        voxels squared. Of a shape without mass about 0.
    """
    mass = ops.sum(weights, axis=(1, 2, 3))
    total = mass + 1e-3
    places = [
        ops.cast(ops.arange(count), "float32") - (ops.cast(count, "float32") - 1.0) / 2.0
        for count in ops.shape(weights)[1:4]
    ]
    # Sums over one axis at a time: what is left are the three planes.
    planes = {(0, 1): ops.sum(weights, axis=3), (0, 2): ops.sum(weights, axis=2), (1, 2): ops.sum(weights, axis=1)}
    profiles = [ops.sum(planes[0, 1], axis=2), ops.sum(planes[0, 1], axis=1), ops.sum(planes[0, 2], axis=1)]
    centre = [
        ops.sum(own * place[:, None], axis=1) / total for own, place in zip(profiles, places, strict=True)
    ]  # fmt: skip
    away = [place[:, None] - middle[:, None] for place, middle in zip(places, centre, strict=True)]
    spread = {}
    for axis in range(3):
        spread[axis, axis] = ops.sum(profiles[axis] * away[axis] ** 2, axis=1) / total
    for (first, second), plane in planes.items():
        product = away[first][:, :, None] * away[second][:, None, :]
        spread[first, second] = spread[second, first] = ops.sum(plane * product, axis=(1, 2)) / total
    rows = [ops.stack([spread[row, column] for column in range(3)], axis=-1) for row in range(3)]
    return mass, ops.stack(centre, axis=-1), ops.stack(rows, axis=-2)
