"""Integration of a stationary velocity field."""

from keras import ops

from nets.ops.sample import follow


def integrate_velocity(velocity, steps=7):
    """Displacement of the flow of a stationary velocity field, by scaling and squaring.

    Formula: `u <- v / 2^steps`, then `steps` times `u <- u + u o (id + u)` (Arsigny et al.,
    2006; the HyperMorph paper, section 3.1).

    Args:
        velocity: Tensor `(batch, i, j[, k], 2 or 3)`, voxels a unit of time.
        steps: Number of squarings, at least 0; 0 returns the velocity as displacement.

    Returns:
        Displacement of the same shape, in voxels.

    Raises:
        ValueError: If `steps` is negative.
    """
    if steps < 0:
        raise ValueError(f"Received an invalid value for `steps`, expected 0 or more. Received: steps={steps}")
    displacement = ops.cast(velocity, "float32") / float(2**steps)
    # A loop in the graph: written out, XLA would fuse the steps, and each would compute all before it again.
    return ops.fori_loop(0, steps, lambda _, u: follow(u, u), displacement)
