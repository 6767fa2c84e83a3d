"""A converted model against the original package, on one pair of images."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from app.errors import UserError

CHILD = Path(__file__).with_name("official_answers.py")


def seeded_pair(shape, seed):
    """Two smooth random images in [0, 1].

    Args:
        shape: Spatial shape.
        seed: Seed.

    Returns:
        Two float32 arrays `(*shape, 1)`.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    images = [gaussian_filter(rng.random(shape), 2) for _ in range(2)]
    return [((image - image.min()) / np.ptp(image)).astype("float32")[..., None] for image in images]


def compare_with_original(model, file, class_name, moving, fixed):
    """Run both on a pair.

    Args:
        model: `OfficialVoxelMorph` with the file's weights.
        file: The official `.h5` file.
        class_name: Class in the file.
        moving, fixed: Arrays `(*shape, 1)` of the model's shape.

    Returns:
        Our outputs, a dict of arrays without the batch axis, and the largest difference of
        each from the original's.

    Raises:
        UserError: If the original package cannot load or run its file.
    """
    inputs = {"moving": moving[None], "fixed": fixed[None]}
    if model.hyper_parameters:
        middle = [hyper.low + 0.3 * (hyper.high - hyper.low) for hyper in model.hyper_parameters]
        inputs["hyper"] = np.array([middle], "float32")
    ours = {name: np.asarray(value) for name, value in model.predict_on_batch(inputs).items()}
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "pair.npz", Path(folder) / "answers.npz"
        np.savez(question, **inputs)
        done = subprocess.run(
            [sys.executable, CHILD, file, class_name, question, answer], capture_output=True, text=True
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"{file}: VoxelMorph 0.2 itself cannot run this file ({reason[:160]}); set verify: false")
        theirs = dict(np.load(answer))
    differences = {name: float(np.abs(ours[name] - value).max()) for name, value in theirs.items()}
    return {name: value[0] for name, value in ours.items()}, differences
