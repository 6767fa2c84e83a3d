"""The brains of the benchmarks, and measures that both sides of a comparison share (NumPy only)."""

import os
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("KERASMORPH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
STRUCTURES = 33


def load_volumes():
    """The 3D brains, in the order of the cohort's CSV.

    Returns:
        Images (uint8) and labels (uint8), each `(100, 80, 96, 80)`.
    """
    from app.data.read import read_volume
    from app.systems.registration.cohort import read_cohort
    from app.systems.registration.config import CohortConfig

    subjects = read_cohort(CohortConfig(cohort=DATA / "brains_ixi_2mm" / "participants.csv"))
    images = np.stack([read_volume(subject.image).array for subject in subjects])
    labels = np.stack([read_volume(subject.labels).array for subject in subjects])
    return images, labels.astype("uint8")


def split(count, train, seed=0):
    """Indices for training and for evaluation.

    Args:
        count: Number of subjects.
        train: How many train.
        seed: Integer.

    Returns:
        Two index arrays.
    """
    order = np.random.default_rng(seed).permutation(count)
    return order[:train], order[train:]


def random_pairs(subjects, count, seed=0):
    """Different ordered pairs.

    Args:
        subjects: Index array.
        count: How many.
        seed: Integer.

    Returns:
        Array `(count, 2)`: moving, fixed.
    """
    pairs = np.array([(m, f) for m in subjects for f in subjects if m != f])
    return pairs[np.random.default_rng(seed).permutation(len(pairs))[:count]]


def unit(images):
    """uint8 images as float32 in [0, 1] with a channel."""
    return (images.astype("float32") / 255.0)[..., None]


def warp_labels(labels, displacement):
    """Nearest-neighbour pull-back of one label map, clamped at the edge.

    Args:
        labels: Integer array `(*shape)`.
        displacement: Array `(*shape, rank)`, in voxels.

    Returns:
        Array like `labels`.
    """
    grid = np.meshgrid(*(np.arange(size) for size in labels.shape), indexing="ij")
    places = tuple(
        np.clip(np.rint(axis + displacement[..., number]), 0, labels.shape[number] - 1).astype(int)
        for number, axis in enumerate(grid)
    )
    return labels[places]


def mean_dice(fixed, moved):
    """Mean Dice over the structures that the fixed labels have."""
    sizes = [np.bincount(item.ravel(), minlength=STRUCTURES + 1)[1 : STRUCTURES + 1] for item in (fixed, moved)]
    both = np.bincount(fixed[fixed == moved].ravel(), minlength=STRUCTURES + 1)[1 : STRUCTURES + 1]
    present = sizes[0] > 0
    return float((2.0 * both[present] / (sizes[0] + sizes[1])[present]).mean())
