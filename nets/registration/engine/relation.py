"""How the intensities of two images that lie on each other are related."""

import numpy as np
from scipy.optimize import isotonic_regression

BINS = 32
FEWEST = 20  # voxels of a bin that counts
BACKGROUND = 0.05  # of all voxels, from which on there is background in both


def monotone_share(moving, fixed, weights=None):
    """How much of what one image's intensities tell of the other's, a monotone function tells.

    Background of 0 in both images is left out, which would make any relation look monotone. But where there is such
    background the function must rise, since it begins there: of a brain in falling relation the rim is a step up in one
    image and down in the other, which a local correlation takes for anatomy.

    Args:
        moving: Array `(i, j[, k])`, in [0, 1], on the fixed image's grid.
        fixed: Array of the same shape.
        weights: Array of the same shape, 0 where voxels are not compared; None for all.

    Returns:
        Share of the explained variance, 0 to 1 (1 where nothing is explained at all), and the share of the fixed
        image's variance that is explained by any function.
    """
    x, y = _compared(moving, fixed, weights)
    if len(x) < FEWEST * BINS or y.var() == 0:
        return 1.0, 0.0
    means, counts = _bin_means(x, y)
    counts, means, total = counts[counts >= FEWEST], means[counts >= FEWEST], y.mean()

    def explained(curve):
        return float(np.sum(counts * (curve - total) ** 2) / len(y) / y.var())

    free = explained(means)
    background = np.mean((moving == 0) & (fixed == 0))
    ways = (True,) if background > BACKGROUND else (True, False)
    curves = [isotonic_regression(means, weights=counts, increasing=rising).x for rising in ways]
    return min(1.0, max(map(explained, curves)) / max(free, 1e-12)), free


def mapped(image, moving, fixed, weights=None):
    """An image with the intensities that another one has in their place, so that a local correlation can compare them.

    The curve is the mean of the fixed image over the voxels of each intensity, linear in between; background stays 0.

    Args:
        image: Array whose intensities are mapped, in [0, 1]: the moving image, warped or not.
        moving: Array `(i, j[, k])`: the moving image, warped onto the fixed one as well as is known.
        fixed: Array of the same shape.
        weights: As for `monotone_share`.

    Returns:
        Float32 array of the shape of `image`; itself where too few voxels lie on each other.
    """
    means, counts = _bin_means(*_compared(moving, fixed, weights))
    kept = counts >= FEWEST
    if kept.sum() < 2:
        return image
    centres = (np.arange(BINS)[kept] + 0.5) / BINS
    return np.where(image > 0, np.interp(image, centres, means[kept]), 0).astype("float32")


def _compared(moving, fixed, weights):
    """Intensities of both images where neither is background and the voxel counts."""
    chosen = (moving > 0) & (fixed > 0)
    if weights is not None:
        chosen &= weights > 0
    return moving[chosen].astype(float), fixed[chosen].astype(float)


def _bin_means(x, y):
    """Mean of y, and how many there are, in each bin of x."""
    place = np.minimum((x * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    return np.bincount(place, y, BINS) / np.maximum(counts, 1), counts
