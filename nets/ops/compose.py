"""Composition of displacements."""

from nets.ops.sample import sample


def compose(*displacements):
    """One displacement that does what several do one after another.

    Formula: for two, `u = u2 + u1 o (id + u2)`, so that `sample(x, compose(u1, u2))` equals
    `sample(sample(x, u1), u2)`.

    Args:
        *displacements: Tensors `(batch, i, j[, k], 2 or 3)` in voxels, in the order in which
            they are applied to an image.

    Returns:
        Displacement tensor on the grid of the last one.

    Raises:
        ValueError: If none is given, or their ranks differ.
    """
    if not displacements:
        raise ValueError("compose() expects at least one displacement. Received none.")
    *earlier, total = displacements
    for displacement in reversed(earlier):
        total = total + sample(displacement, total)
    return total
