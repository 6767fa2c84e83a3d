"""The thesis' own decision (section 2.6.4), to compare with: smoothing, then the valid intersections."""

import itertools

import numpy as np
from scipy.ndimage import gaussian_filter1d

from nets.classification.decision import Segment


def thesis_decision(probabilities, sigma=2.0, most=12):
    """Smooth, find where adjacent classes' curves meet, and try every valid set of those slices.

    Args:
        probabilities: `(slices, classes)` in anatomical order; every slice gets a class.
        sigma: Of the smoothing, in slices.
        most: Intersections of a pair of classes that are tried, those with the highest probability.

    Returns:
        Smoothed probabilities, and the list of `Segment` with the highest sum of them (eq. 2.23).
    """
    smoothed = gaussian_filter1d(np.asarray(probabilities, float), sigma, axis=0, mode="nearest")
    count, classes = smoothed.shape
    sums = np.concatenate([np.zeros((1, classes)), np.cumsum(smoothed, axis=0)])
    # A boundary may also lie at either end of the volume: the classes below, or above, are absent.
    meetings = []
    for label in range(classes - 1):
        sign = smoothed[:, label] >= smoothed[:, label + 1]
        where = np.flatnonzero(sign[1:] != sign[:-1]) + 1
        where = where[np.argsort(-smoothed[where, label], kind="stable")][:most]
        meetings.append(sorted({0, count, *where.tolist()}))
    best, best_value = None, -np.inf
    for edges in itertools.product(*meetings):
        if any(a > b for a, b in itertools.pairwise(edges)):
            continue
        bounds = (0, *edges, count)
        value = sum(sums[b, label] - sums[a, label] for label, (a, b) in enumerate(itertools.pairwise(bounds)))
        if value > best_value:
            best, best_value = bounds, value
    segments = [Segment(label, a, b) for label, (a, b) in enumerate(itertools.pairwise(best)) if b > a]
    return smoothed, segments
