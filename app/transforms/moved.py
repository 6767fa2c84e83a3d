"""Images and label maps at the places that a transform names, plane by plane on all processors."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from app.progress import progress
from app.transforms.files import plane_points

ORDERS = {"linear": 1, "cubic": 3}
CORNERS = np.array(list(np.ndindex(2, 2, 2)))


def moved_image(image, chain, reference, tally, interpolation="linear"):
    """An image at the places that a transform names, its smallest value beyond it.

    Args:
        image: `Volume`, of three axes or two, perhaps with frames on a fourth.
        chain: `Chain`, reference to image.
        reference: `Volume` whose grid the result has.
        tally: `Tally`.
        interpolation: "linear" or "cubic" (B-splines of third order, mirrored at the edge, as ITK's).

    Returns:
        Array of the reference's shape, and frames, of the image's type; integers are rounded, and cut off at the ends
        of their type.
    """
    order = ORDERS[interpolation]
    frames = _frames(image)
    least = [frame.min() for frame in frames]
    if order == 3:
        frames = [spline_filter(np.asarray(frame, "float32"), 3, output="float32", mode="mirror") for frame in frames]
    mode = "mirror" if order == 3 else "nearest"

    def sampled(places, within):
        values = [
            np.where(within, map_coordinates(frame, places, "float64", order, mode, prefilter=False), beyond)
            for frame, beyond in zip(frames, least, strict=True)
        ]
        return np.stack([_of_type(each, image.array.dtype) for each in values], axis=-1)

    result = _planes(image, chain, reference, tally, sampled, len(frames))
    return result if _has_frames(image) else result[..., 0]


def moved_labels(labels, chain, reference, tally, interpolation="nearest"):
    """A label map at the places that a transform names, 0 beyond it.

    Args:
        labels: `Volume` of integers, three axes or two.
        chain: `Chain`, reference to image.
        reference: `Volume` whose grid the result has.
        tally: `Tally`.
        interpolation: "nearest", or "linear": each label as an image of its own, interpolated, the largest taken.

    Returns:
        Array of the reference's shape, of the labels' type.
    """
    array = _three_axes(labels.array)
    rule = _nearest if interpolation == "nearest" else _largest

    def sampled(places, within):
        return np.where(within, rule(array, places), array.dtype.type(0))[:, None]

    return _planes(labels, chain, reference, tally, sampled, 1)[..., 0]


def _planes(image, chain, reference, tally, sampled, count):
    """Run over the planes of the reference; `sampled` gives `(n, count)` values at `(3, n)` places."""
    affine = np.asarray(reference.affine, float)
    shape = (*reference.array.shape[:3], 1)[:3]
    to_voxels = np.linalg.inv(np.asarray(image.affine, float))
    size = _three_axes(_frames(image)[0]).shape
    flat = len(_frames(image)[0].shape) == 2 or size[2] == 1
    result = np.empty((*shape, count), image.array.dtype)

    def work(plane):
        points = chain(plane_points(shape, affine, plane), tally)
        places = to_voxels[:3, :3] @ points.T + to_voxels[:3, 3:]
        within = np.ones(len(points), bool)
        for axis in range(2 if flat else 3):
            within &= (places[axis] >= -0.5) & (places[axis] <= size[axis] - 0.5)
        if flat:
            places[2] = 0.0
        result[plane] = sampled(places, within).reshape(*shape[1:], count)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress(pool.map(work, range(shape[0])), "moving", shape[0]):
            pass
    return result[:, :, 0] if reference.array.ndim == 2 else result


def _has_frames(image):
    return image.array.ndim == 4


def _frames(image):
    frames = [image.array[..., index] for index in range(image.array.shape[3])] if _has_frames(image) else [image.array]
    return [_three_axes(frame) for frame in frames]


def _three_axes(array):
    return array[..., None] if array.ndim == 2 else array


def _of_type(values, dtype):
    if dtype.kind == "f":
        return values.astype(dtype)
    ends = np.iinfo(dtype)
    return np.clip(np.rint(values.astype("float64")), ends.min, ends.max).astype(dtype)


def _nearest(array, places):
    whole = [np.clip(np.floor(axis + 0.5).astype(int), 0, size - 1)
             for axis, size in zip(places, array.shape, strict=True)]  # fmt: skip
    return array[tuple(whole)]


def _largest(array, places):
    """The label of the largest interpolated weight, at a tie the smaller label."""
    low = np.floor(places).astype(int)
    rest = places - low
    values, weights = [], []
    for corner in CORNERS:
        at = [np.clip(low[axis] + corner[axis], 0, array.shape[axis] - 1) for axis in range(3)]
        values.append(array[tuple(at)])
        weights.append(np.prod([rest[axis] if corner[axis] else 1 - rest[axis] for axis in range(3)], axis=0))
    values, weights = np.array(values), np.array(weights)
    totals = np.array([np.sum(np.where(values == value, weights, 0.0), axis=0) for value in values])
    totals = np.round(totals, 6)  # a tie is one
    best = np.where(totals == totals.max(axis=0), values, values.max())
    return best.min(axis=0)
