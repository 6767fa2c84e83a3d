"""Agreement of two label maps: Dice and Hausdorff distance a structure."""

import numpy as np


def dice_per_label(fixed, moved, count):
    """Dice coefficient of each label.

    Args:
        fixed: Integer array, 0 background, 1 to `count`.
        moved: Integer array of the same shape.
        count: Number of labels.

    Returns:
        Float array `(count,)`; NaN where `fixed` lacks the label, 0 where only `moved` does.
    """
    sizes = [np.bincount(labels.ravel(), minlength=count + 1)[1 : count + 1] for labels in (fixed, moved)]
    both = np.bincount(fixed[fixed == moved].ravel(), minlength=count + 1)[1 : count + 1]
    total = sizes[0] + sizes[1]
    return np.where(sizes[0] > 0, 2.0 * both / np.maximum(total, 1), np.nan)


def hd95_per_label(fixed, moved, count, spacing_mm):
    """95th percentile of the distances between the surfaces of each label.

    Distances from every surface voxel of one to the nearest of the other, both ways
    pooled (as MedPy's `hd95`).

    Args:
        fixed: Integer array, 0 background, 1 to `count`.
        moved: Integer array of the same shape.
        count: Number of labels.
        spacing_mm: Voxel size an axis.

    Returns:
        Float array `(count,)` in millimetres; NaN where either is empty.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

    boxes = [find_objects(labels, max_label=count) for labels in (fixed, moved)]
    distances = np.full(count, np.nan)
    for index in range(count):
        if boxes[0][index] is None or boxes[1][index] is None:
            continue
        box = tuple(
            slice(max(min(a.start, b.start) - 1, 0), max(a.stop, b.stop) + 1)
            for a, b in zip(boxes[0][index], boxes[1][index], strict=True)
        )
        surfaces = []
        for labels in (fixed, moved):
            mask = labels[box] == index + 1
            surfaces.append(mask & ~binary_erosion(mask))
        apart = [distance_transform_edt(~surfaces[1 - side], sampling=spacing_mm)[surfaces[side]] for side in (0, 1)]
        distances[index] = np.percentile(np.concatenate(apart), 95)
    return distances


def surface_dice(fixed, moved, spacing_mm, tolerance_mm):
    """Share of the two masks' surfaces that lies within a tolerance of the other's.

    Surfaces are the masks' outermost voxels, each counted once (Nikolov et al., 2018, weigh them by area).

    Args:
        fixed, moved: Boolean arrays of one shape.
        spacing_mm: Voxel size an axis.
        tolerance_mm: Distance that counts as agreement.

    Returns:
        Float in [0, 1]; 0 where one is empty, NaN where both are.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

    box = find_objects((fixed | moved).astype("uint8"))
    if not box:
        return float("nan")
    if not fixed.any() or not moved.any():
        return 0.0
    box = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box[0])
    surfaces = [mask[box] & ~binary_erosion(mask[box]) for mask in (fixed, moved)]
    near = [
        distance_transform_edt(~surfaces[1 - side], sampling=spacing_mm)[surfaces[side]] <= tolerance_mm
        for side in (0, 1)
    ]
    return float(np.mean(np.concatenate(near)))
