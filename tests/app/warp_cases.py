"""Two smooth fields and an affine on grids of different orientation, as ours and as SimpleITK's."""

import json

import numpy as np
import SimpleITK
from scipy.ndimage import gaussian_filter

from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.transforms.files import write_transform
from app.transforms.itk import LPS
from app.transforms.transform import Chain, Field, Linear

OBLIQUE = np.array([[0.1, -1.9, 0.2, 0], [1.5, 0.1, -0.3, 0], [0.2, 0.25, 2.9, 0], [0, 0, 0, 1]])


def orthogonal(affine):
    """The nearest affine whose axes are at right angles, its spacing kept."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / sizes)
    result = affine.copy()
    result[:3, :3] = left @ right * sizes
    return result


def centred(shape, affine, middle):
    """A grid of this shape and axes about a point."""
    result = affine.copy()
    result[:3, 3] = middle - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return shape, result


MIDDLE = np.array([-3.0, 1.0, -3.0])
GRIDS = {
    "straight": centred((24, 26, 22), np.diag([-2.0, 2.0, 2.0, 1.0]), MIDDLE),
    "oblique": centred((26, 34, 18), orthogonal(OBLIQUE), MIDDLE),
}


def smooth_field(seed, grid="straight", largest_mm=5.0):
    """A field without folding, its largest vector of a given length."""
    shape, affine = GRIDS[grid]
    rng = np.random.default_rng(seed)
    noise = np.stack([gaussian_filter(rng.normal(size=shape), 4.0) for _ in range(3)], axis=-1)
    noise *= largest_mm / np.linalg.norm(noise, axis=-1).max()
    return Field(noise.astype("float32"), affine)


def turned(seed=5):
    """An affine with a turn, scales and a shift."""
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] += rng.uniform(-0.12, 0.12, (3, 3))
    matrix[:3, 3] = rng.uniform(-3, 3, 3)
    return Linear(matrix)


def in_itk(step):
    """The same as a transform of SimpleITK, made without our writers."""
    if isinstance(step, Linear):
        lps = LPS @ step.matrix @ LPS
        transform = SimpleITK.AffineTransform(3)
        transform.SetMatrix(lps[:3, :3].ravel().tolist())
        transform.SetTranslation(lps[:3, 3].tolist())
        return transform
    image = SimpleITK.GetImageFromArray(
        (step.vectors.transpose(2, 1, 0, 3) * [-1.0, -1.0, 1.0]).astype("float64"), isVector=True
    )
    affine = LPS @ step.affine
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(sizes.tolist())
    image.SetDirection((affine[:3, :3] / sizes).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return SimpleITK.DisplacementFieldTransform(image)


def through_itk(transform, points):
    """Points in RAS millimetres through a transform of SimpleITK."""
    signs = np.array([-1.0, -1.0, 1.0])
    return np.array([transform.TransformPoint((point * signs).tolist()) for point in points]) * signs


def points_within(grid="straight", count=60, margin=6, seed=9):
    """Points well within a grid, RAS millimetres."""
    shape, affine = GRIDS[grid]
    rng = np.random.default_rng(seed)
    places = rng.uniform(margin, np.array(shape) - 1 - margin, (count, 3))
    return places @ affine[:3, :3].T + affine[:3, 3]


def write_files(folder):
    """A moving image with labels and points, a fixed image, a warp and an affine, as files."""
    rng = np.random.default_rng(0)
    shape, affine = GRIDS["straight"]
    image = gaussian_filter(rng.normal(size=shape), 2.0) * 1000
    write_volume(folder / "moving.nii.gz", Volume(np.rint(image).astype("int16"), affine))
    write_volume(folder / "labels.nii.gz", Volume((image > 20).astype("uint8") + (image > 60), affine))
    write_volume(folder / "fixed.nii.gz", Volume(np.zeros(GRIDS["oblique"][0], "uint8"), GRIDS["oblique"][1]))
    reference = read_volume(folder / "fixed.nii.gz")
    write_transform(folder / "warp.nii.gz", Chain((smooth_field(2, "oblique"),)), None, reference)
    write_transform(folder / "affine.tfm", Chain((turned(),)), None, reference)
    points = points_within()
    text = "name,x,y,z\n" + "".join(f"p{n},{x:.6f},{y:.6f},{z:.6f}\n" for n, (x, y, z) in enumerate(points))
    (folder / "points.csv").write_text(text)


def apply_words(folder, output, **values):
    """Words of a command; the transforms are the affine, then the warp, unless others are given."""
    values = {"transforms": [str(folder / "affine.tfm"), str(folder / "warp.nii.gz")], "output": output} | values
    return [
        "apply",
        *(word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value, default=str)}")),
    ]
