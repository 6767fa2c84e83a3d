"""Recovery of known affine transforms, against SimpleITK.

    python -m benchmarks.affine        90 minutes on 2 cores

200 times one image is turned by up to 180 degrees about a random axis, scaled by 0.8 to 1.25 and shifted by up to
60 mm, resampled onto a grid that holds all of it, and given back to the alignment as the fixed image: heads
(`brains_ixi_2mm`, 2 mm) and crops about the hippocampus (`hippocampus_msd`, 1 mm). Recovered means that the image's
voxels end within one voxel, on average, of where they belong. SimpleITK begins with the centres of mass on each other,
once as the headers say and once with the best of the 24 turns of the axes by its own metric. Resumable.
"""

import argparse
import itertools
import time

import nibabel
import numpy as np
import scipy.ndimage
from scipy.spatial.transform import Rotation

from app.data.volume import Volume
from app.data.write import itk_image
from app.transforms.itk import linear_matrix
from benchmarks.brains import DATA
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

COUNT = 200
IMAGES = {"head": DATA / "brains_ixi_2mm" / "images", "hippocampus": DATA / "hippocampus_msd" / "images"}
TURNS = [
    turn
    for order in itertools.permutations(np.eye(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
    if np.linalg.det(turn := np.diag(signs) @ np.array(order)) > 0
]
SIDES = ("ours", "SimpleITK", "SimpleITK, 24 turns")


def task(kind, number):
    """One image, what was done to it, and the transform.

    Args:
        kind: Key of `IMAGES`.
        number: Integer, which seeds the draw.

    Returns:
        Moving image and its affine, fixed image and its affine, and the true map from fixed to moving millimetres.
    """
    rng = np.random.default_rng([number, len(kind)])
    files = sorted(IMAGES[kind].glob("*.nii.gz"))
    source = nibabel.load(files[rng.integers(len(files))])
    image, affine = source.get_fdata().astype("float32"), source.affine
    image = np.clip(image / np.percentile(image[image > 0], 99.5), 0, 1)
    middle = affine[:3, :3] @ ((np.array(image.shape) - 1) / 2) + affine[:3, 3]
    axis, direction = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
    linear = rng.uniform(0.8, 1.25) * Rotation.from_rotvec(rng.uniform(0, np.pi) * axis).as_matrix()
    shift = rng.uniform(0, 60) * direction
    truth = np.eye(4)
    truth[:3, :3], truth[:3, 3] = linear, middle - linear @ (middle + shift)
    corners = np.array(list(itertools.product(*((0, size - 1) for size in image.shape)))) @ affine[:3, :3].T
    corners = (corners + affine[:3, 3] - truth[:3, 3]) @ np.linalg.inv(linear).T
    side = np.linalg.norm(affine[:3, :3], axis=0).min()
    grid = np.diag([side, side, side, 1.0])
    grid[:3, 3] = corners.min(axis=0) - 2 * side
    shape = np.ceil(np.ptp(corners, axis=0) / side).astype(int) + 4
    matrix = np.linalg.inv(affine) @ truth @ grid
    fixed = scipy.ndimage.affine_transform(image, matrix[:3, :3], matrix[:3, 3], tuple(shape), order=1)
    return image, affine, fixed, grid, truth


def measure(kind, side):
    """All tasks of one kind by one side.

    Args:
        kind: Key of `IMAGES`.
        side: Of `SIDES`.

    Returns:
        Dict of lists: `error_voxels`, `cpu_seconds`.
    """
    rows = {"error_voxels": [], "cpu_seconds": []}
    for number in range(COUNT):
        moving, affine, fixed, grid, truth = task(kind, number)
        started = time.process_time()
        if side == "ours":
            estimate = ours(moving, affine, fixed, grid)
        else:
            estimate = simple_itk(moving, affine, fixed, grid, TURNS if "24" in side else TURNS[:1])
        rows["cpu_seconds"].append(round(time.process_time() - started, 2))
        places = np.argwhere(moving > 0.1)[::31] @ affine[:3, :3].T + affine[:3, 3]
        wrong = estimate @ np.linalg.inv(truth)
        apart = places @ wrong[:3, :3].T + wrong[:3, 3] - places
        side_mm = np.linalg.norm(affine[:3, :3], axis=0).min()
        rows["error_voxels"].append(round(float(np.linalg.norm(apart, axis=1).mean() / side_mm), 3))
    return rows


def ours(moving, affine, fixed, grid):
    from nets.registration.engine.affine import align

    return align(moving, fixed, affine, grid, "affine").matrix


def simple_itk(moving, affine, fixed, grid, turns):
    """Mattes' mutual information, three levels, from the turn whose metric is best."""
    import SimpleITK

    images = [itk_image(Volume(array, matrix)) for array, matrix in ((fixed, grid), (moving, affine))]
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.05, seed=1)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200, 0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    first = SimpleITK.CenteredTransformInitializer(
        *images, SimpleITK.AffineTransform(3), SimpleITK.CenteredTransformInitializerFilter.MOMENTS
    )
    starts = []
    for turn in turns:
        start = SimpleITK.AffineTransform(first)
        start.SetMatrix(turn.ravel().tolist())
        method.SetInitialTransform(start, inPlace=False)
        starts.append((method.MetricEvaluate(*images) if len(turns) > 1 else 0.0, len(starts), start))
    method.SetInitialTransform(min(starts)[2], inPlace=False)
    return linear_matrix(method.Execute(*images))


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    lines = ["| | recovered (%) | median error (voxels) | CPU seconds, mean |", "|---|---:|---:|---:|"]
    for name, row in content["rows"].items():
        errors = np.array(row["error_voxels"])
        cells = [name, f"{100 * np.mean(errors < 1):.1f}", f"{np.median(errors):.2f}"]
        lines.append("| " + " | ".join([*cells, f"{np.mean(row['cpu_seconds']):.1f}"]) + " |")
    first = next(iter(content["rows"].values()))
    lines += ["", f"{COUNT} transforms each; {first['processor']}, {first['vectors']}, {first['date']}."]
    return {"recovery": "\n".join(lines)}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results = ResultsFile("affine", {"count": COUNT})
    for side in SIDES:
        for kind in IMAGES:
            results.measure(f"{side}, {kind}", lambda of=(kind, side): measure(*of))
    write_tables("affine", tables(results.content))
    print(tables(results.content)["recovery"])


if __name__ == "__main__":
    main()
