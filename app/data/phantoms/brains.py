"""Simulated brains: nested structures, deformed by random diffeomorphisms."""

import numpy as np

from app.data.phantoms.folder import cohort_folder
from app.data.volume import Volume
from app.data.write import write_volume
from app.files import write_csv
from app.progress import progress

STRUCTURES = (
    "cortex",
    "white_matter",
    "left_ventricle",
    "right_ventricle",
    "left_nucleus",
    "right_nucleus",
    "cerebellum",
    "brain_stem",
)
MEAN_INTENSITY = (0.0, 0.55, 0.85, 0.15, 0.15, 0.65, 0.65, 0.6, 0.75)


def write_brains(folder, config):
    """Simulate a cohort and write it as a user's cohort would be: NIfTI files and a CSV.

    Each subject is one anatomy (two hemispheres of cortex and white matter, ventricles,
    nuclei, cerebellum, stem) deformed by a diffeomorphism of its own, with contrasts drawn
    a structure, a smooth bias field and noise.

    Args:
        folder: Where to. Files of the same config are left as they are, those of another
            are replaced.
        config: `BrainsConfig`.

    Returns:
        Paths of the cohort's CSV and of the CSV with the labels' names.
    """
    folder = cohort_folder(folder, config, "*/phantom-*.nii.gz")
    rows = []
    for number in progress(range(config.subjects), "simulating brains"):
        row = {"subject": f"phantom-{number:03d}"}
        for kind in ("image", "labels"):
            row[kind] = f"{kind}/{row['subject']}.nii.gz"
        rows.append(row)
        if all((folder / row[kind]).is_file() for kind in ("image", "labels")):
            continue
        image, labels = simulate_brain(config, number)
        write_volume(folder / row["labels"], Volume(labels, np.diag([2.0, 2.0, 2.0, 1.0])))
        write_volume(folder / row["image"], Volume(image, np.diag([2.0, 2.0, 2.0, 1.0])))
    cohort, names = folder / "cohort.csv", folder / "labels.csv"
    write_csv(names, [{"index": index + 1, "name": name} for index, name in enumerate(STRUCTURES)])
    write_csv(cohort, rows)
    return cohort, names


def simulate_brain(config, number):
    """One subject.

    Args:
        config: `BrainsConfig`.
        number: Which subject; with the config's seed it determines everything.

    Returns:
        Image (uint8) and labels (uint8, 0 background, then as in `STRUCTURES`), each of the
        config's shape.
    """
    rng = np.random.default_rng([config.seed, number])
    shape = tuple(config.shape)
    points = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")).astype("float32")
    points = _flow(_smooth_field(rng, shape, config.deformation_vox), points)
    centre = (np.array(shape, "float32") - 1).reshape(3, 1, 1, 1) / 2
    labels = _anatomy((points - centre) / (0.5 * np.array(shape, "float32").reshape(3, 1, 1, 1)))
    means = np.array(MEAN_INTENSITY) * np.r_[1.0, rng.uniform(0.9, 1.1, len(STRUCTURES))]
    image = _blur(means[labels], 0.5)
    gain = 1.0 + config.bias * _smooth_field(rng, shape, 1.0)[0]
    image = image * gain + config.noise * rng.standard_normal(shape) * (labels > 0)
    return np.clip(image * 255.0 / 1.2, 0, 255).astype("uint8"), labels


def _anatomy(x):
    """Labels of the undeformed anatomy at positions in [-1, 1]."""

    def ellipsoid(centre, radii):
        offset = [(x[axis] - centre[axis]) / radii[axis] for axis in range(3)]
        return offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2 < 1.0

    # Folds of the cortex: the inner surface of the sheet waves along two directions.
    waves = 0.06 * (np.sin(11 * x[1]) * np.cos(9 * x[2]) + np.sin(13 * x[0] + 5 * x[2]))
    labels = np.zeros(x.shape[1:], "uint8")
    for side in (-1, 1):
        hemisphere = ellipsoid((0.31 * side, 0.0, 0.12), (0.36, 0.8, 0.62)) & (side * x[0] > 0.02)
        depth = sum(
            ((x[axis] - centre) / radius) ** 2
            for axis, centre, radius in ((0, 0.31 * side, 0.36), (1, 0.0, 0.8), (2, 0.12, 0.62))
        )
        labels[hemisphere] = 1
        labels[hemisphere & (depth + 2.0 * waves < 0.6)] = 2
    for side, ventricle, nucleus in ((-1, 3, 5), (1, 4, 6)):
        labels[ellipsoid((0.24 * side, 0.02, 0.2), (0.09, 0.3, 0.14))] = ventricle
        labels[ellipsoid((0.36 * side, 0.05, 0.02), (0.11, 0.2, 0.12))] = nucleus
    labels[ellipsoid((0.0, -0.45, -0.52), (0.4, 0.28, 0.2))] = 7
    labels[ellipsoid((0.0, -0.1, -0.55), (0.13, 0.15, 0.34))] = 8
    return labels


def _smooth_field(rng, shape, size):
    """Random smooth vectors `(3, *shape)` with standard deviation `size`."""
    from scipy.ndimage import zoom

    coarse = rng.standard_normal((3, 5, 5, 5))
    field = np.stack([zoom(field, [n / 5 for n in shape], order=3, mode="nearest") for field in coarse])
    return (size * field / field.std()).astype("float32")


def _flow(velocity, points):
    """Positions after flowing along a stationary velocity for a unit of time."""
    from scipy.ndimage import map_coordinates

    steps = 8
    for _ in range(steps):
        here = np.stack([map_coordinates(v, points, order=1, mode="nearest") for v in velocity])
        points = points + here / steps
    return points


def _blur(image, sigma):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, sigma)
