"""Templates: signed distances of one shape or several, built from masks."""

import dataclasses

import numpy as np
from scipy.ndimage import find_objects, zoom
from sklearn.cluster import KMeans

from segmentation.align import WAYS, moments, principal_axes, resampled, similarity
from segmentation.signed_distance import signed_distance
from segmentation.topology import topology

OVERLAP = 0.25  # voxels

NOTHING_LEFT = "nothing is left of the mean shape"


@dataclasses.dataclass(frozen=True)
class Template:
    """Shapes to be deformed, all on one cube, their middle in the cube's.

    Args:
        distances: `(members, size, size, size, structures)`, float32: signed distances in voxels, positive inside;
            structures that touch overlap by `OVERLAP` there, and the deeper one counts.
        spacing_mm: Of the cube.
        labels: Value of each structure in masks.
    """

    distances: np.ndarray
    spacing_mm: float
    labels: tuple

    def topologies(self, member=0):
        """`Topology` of each structure of a member, then of all structures together.

        Counted at a quarter of a voxel: images are finer than the cube, and read the template between its voxels.
        """
        distances = self.distances[member]
        boxes = find_objects((distances.max(axis=-1) > 0).view("uint8"))
        if boxes:  # what lies far outside would cost memory
            distances = distances[tuple(slice(max(box.start - 2, 0), box.stop + 2) for box in boxes[0])]
        finer = np.stack([_finer(part, 4) for part in np.moveaxis(distances, -1, 0)], axis=-1)
        return shape_topologies(structures_of(labelled(finer, self.labels), self.labels))

    def whole(self):
        """All structures together: `(size, size, size)`, the share of each voxel that lies inside.

        Of several members the mixture of all alike. Poses are of this shape.
        """
        inside = np.any([_finer(part) > 0 for part in np.moveaxis(self.distances.mean(axis=0), -1, 0)], axis=0)
        size = self.distances.shape[1]
        return inside.reshape(size, 2, size, 2, size, 2).mean(axis=(1, 3, 5))

    def labelled(self, member=0):
        """A member as a mask: `(size, size, size)` of its labels, 0 outside."""
        return labelled(self.distances[member], self.labels)


def labelled(distances, labels):
    """Labels of structures from signed distances: each voxel's deepest structure, where one is above 0.

    Args:
        distances: `(..., structures)`.
        labels: Value of each structure.

    Returns:
        `(...)`, uint16.
    """
    values = np.asarray(labels, "uint16")[np.argmax(distances, axis=-1)]
    return np.where(np.max(distances, axis=-1) > 0, values, 0).astype("uint16")


def structures_of(mask, labels):
    """Masks of structures, `(..., structures)`, from a mask of labels."""
    return np.stack([mask == label for label in labels], axis=-1)


def shape_topologies(masks):
    """`Topology` of each structure and, of several, of all together.

    Args:
        masks: `(i, j, k, structures)`, bool.

    Returns:
        Tuple.
    """
    return tuple(topology(part) for part in _parts(masks))


def has_shape(mask):
    """Whether a mask can be part of a template: neither so thin that nothing is left of it once its surface is
    smoothed, nor all of its cube.

    Args:
        mask: `(size, size, size, structures)`, bool.

    Returns:
        Bool.
    """
    whole = mask.any(axis=-1)
    return bool(whole.any() and not whole.all() and np.any(signed_distance(whole) > 0))


def subject_template(masks, spacing_mm, labels):
    """The template of the thesis: one subject's mask. The one that is nearest to all others is taken.

    Args:
        masks: List of `(size, size, size, structures)`, bool.
        spacing_mm: Of their cubes.
        labels: Value of each structure.

    Returns:
        `Template`, and the index of that subject.

    Reference:
        - Bertrand, thesis, 2019, section 4.4.3.
    """
    centred = [_centred(_distances(mask)) for mask in masks]
    flat = _near_surface(centred)
    chosen = int(np.argmin(np.sum((flat - flat.mean(axis=0)) ** 2, axis=1)))
    voxels = masks[chosen].sum(axis=(0, 1, 2))
    return Template(_overlapping(_levelled(_joined(centred[chosen]), voxels))[None], spacing_mm, tuple(labels)), chosen


def mean_template(masks, spacing_mm, labels, members=1, rounds=2, report=None, seed=0):
    """Mean signed distances after alignment by similarities; of several groups of shapes, where wanted.

    All shapes are aligned with the mean so far, `rounds` times; the volume of the mean is the geometric mean of
    theirs, its axes lie along the cube's, and each structure has its mean share of the volume.

    Args:
        masks: List of `(size, size, size, structures)`, bool.
        spacing_mm: Of their cubes.
        labels: Value of each structure.
        members: How many means: the aligned shapes are put in so many groups by k-means.
        rounds: Of alignment.
        report: Function that is given an iterable and returns it, or None: shows progress.
        seed: Of k-means.

    Returns:
        `Template`.

    Raises:
        ValueError: If there are less shapes, or less that differ, than members; or if nothing is left of the mean, as
            its structures are a few voxels.

    Reference:
        - Joshi et al., Unbiased diffeomorphic atlas construction, 2004 (mean template); Bertrand, thesis, 2019,
          sections 4.2.1 and 4.7.
    """
    if len(masks) < members:
        raise ValueError(f"Expected at least as many shapes as members. Received: {len(masks)} and {members}")
    shapes = [_distances(mask) for mask in masks]
    volumes = [np.sum(_together(shape) > 0) for shape in shapes]
    size = np.exp(np.mean(np.log(volumes)))
    counts = np.array([[part.sum() for part in _parts(mask)] for mask in masks], float)
    wanted = np.exp(np.mean(np.log(counts[:, -1]))) * counts / counts[:, -1:]
    first = shapes[int(np.argmin(np.abs(np.log(np.array(volumes) / size))))]
    mean, aligned = _not_empty(_upright(first)), shapes
    for _ in range(rounds):
        aligned = [_aligned(shape, mean) for shape in (report(shapes) if report else shapes)]
        mean = _not_empty(_sized(_centred(_thick(np.mean(aligned, axis=0), wanted.mean(axis=0))), size))
    groups = np.zeros(len(aligned), int)
    if members > 1:
        flat = _near_surface(aligned)
        kinds = len(np.unique(flat, axis=0))
        if kinds < members:
            raise ValueError(f"Expected {members} shapes that differ. Received: {kinds}, of {len(masks)}")
        groups = KMeans(members, n_init=4, random_state=seed).fit_predict(flat)
    means = []
    for group in range(members):
        own = np.mean([moved for moved, chosen in zip(aligned, groups, strict=True) if chosen == group], axis=0)
        voxels = wanted[groups == group].mean(axis=0)
        joined = _joined(_levelled(_sized(_centred(_thick(own, voxels)), size), voxels))
        # What lies close together was joined too far.
        means.append(_overlapping(_levelled(joined, voxels[: joined.shape[-1]])))
    return Template(np.stack(means).astype("float32"), spacing_mm, tuple(labels))


def _not_empty(distances):
    """Distances, refused where nothing is inside: a few voxels, once turned, all fall below the surface."""
    if not np.any(_together(distances) > 0):
        raise ValueError(NOTHING_LEFT)
    return distances


def _thick(distances, voxels):
    """Distances, levelled where nothing is inside: the mean of thin shapes that miss each other is empty."""
    return distances if np.any(_together(distances) > 0) else _levelled(distances, voxels)


def _levelled(distances, voxels):
    """Distances shifted so that each structure, read between voxels, has the volume of so many voxels.

    The mean of thin shapes that do not quite meet is thinner than any of them, or empty; and what is round is cut
    off where distances are read linearly between voxels: a hippocampus lost a seventh.
    """
    levels = [-np.partition(-_finer(distances[..., index]), int(8 * count), axis=None)[int(8 * count)]
              for index, count in zip(range(distances.shape[-1]), voxels, strict=True)]  # fmt: skip
    return distances - np.array(levels, "float32")


def _finer(array, times=2):
    """Read linearly at so many places of each voxel along each axis."""
    return zoom(array, times, order=1, mode="nearest", grid_mode=True)


def _parts(mask):
    """Each structure and, of several, all together at the end."""
    parts = [mask[..., index] for index in range(mask.shape[-1])]
    return parts if len(parts) == 1 else [*parts, mask.any(axis=-1)]


def _distances(mask):
    """Signed distance of each of `_parts`."""
    return np.stack([signed_distance(part) for part in _parts(mask)], axis=-1)


def _together(distances):
    return distances[..., -1]


def _joined(distances):
    """Structures that leave no gap: each goes to the face that is as near to the next one, inside of all together.

    Done once, after averaging: the mean of faces that lie elsewhere in each shape would be inside of neither.
    """
    own = distances[..., :-1]
    if not own.shape[-1]:
        return distances
    between = 0.5 * (own - _next(own))
    return np.minimum(np.maximum(_together(distances)[..., None], own), between)


def _overlapping(distances):
    """Structures that touch, made to overlap by a fraction of a voxel; which of them is the deeper stays.

    On a face that two share both distances are 0, and fall below it wherever they are read between voxels: the whole
    would have cracks, which are tunnels.
    """
    if distances.shape[-1] == 1:
        return distances
    others = _next(distances)
    return np.maximum(distances, OVERLAP + np.minimum(np.minimum(distances, others), 0.5 * (distances - others)))


def _next(distances):
    """Of each structure the deepest of the others."""
    others = [np.max(np.delete(distances, index, axis=-1), axis=-1) for index in range(distances.shape[-1])]
    return np.stack(others, axis=-1)


def _near_surface(shapes):
    """Shapes as rows that can be compared: distances, cut where they only say how far the surface is."""
    return np.stack([np.clip(shape, -5, 5).ravel() for shape in shapes])


def _moved(distances, matrix):
    """Structures at the places to which a matrix leads, their distances in voxels again."""
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    parts = [resampled(distances[..., index], matrix) for index in range(distances.shape[-1])]
    return np.stack(parts, axis=-1) / scale


def _aligned(distances, mean):
    return _moved(distances, similarity(_together(distances), _together(mean))[0])


def _about_centre(linear, centre, shape):
    half = (np.array(shape) - 1) / 2
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = half + centre - linear @ half
    return matrix


def _centred(distances):
    centre, _ = moments(_together(distances) > 0)
    return _moved(distances, _about_centre(np.eye(3), centre, distances.shape[:3]))


def _upright(distances):
    """Turned by as little as lays its principal axes along the cube's."""
    centre, covariance = moments(_together(distances) > 0)
    ways = principal_axes(covariance) @ WAYS
    axes = ways[np.trace(ways, axis1=1, axis2=2).argmax()]
    return _moved(distances, _about_centre(axes, centre, distances.shape[:3]))


def _sized(distances, volume):
    scale = (np.sum(_finer(_together(distances)) > 0) / (8 * volume)) ** (1 / 3)
    return _moved(distances, _about_centre(scale * np.eye(3), np.zeros(3), distances.shape[:3]))
