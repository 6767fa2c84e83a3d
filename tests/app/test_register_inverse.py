"""`register` with `inverse: true`: the way back, by the negative velocity or by a fixed point."""

import json

import numpy as np
import pytest

from app.data.read import read_volume
from app.transforms.files import read_transform
from tests.app.test_register_anything import turned_pair
from tests.app.test_register_engine import words


@pytest.mark.parametrize("with_model", [False, True])
def test_there_and_back(main, phantoms, trained, tmp_path, with_model):
    """Two heads on other grids: the warp, then its inverse, both from files, end where they began."""
    scans = turned_pair(phantoms, tmp_path)
    model = {"model": trained} if with_model else {"preset": "fast"}
    done = main(*words(tmp_path / "out", **scans, **model, inverse="true"))
    assert done.returncode == 0, done.stderr
    assert ("by the negative velocity" if with_model else "by a fixed point") in done.stdout
    measures = json.loads((tmp_path / "out/metrics.json").read_text())
    assert measures["inverse_residual_mm"] < (0.3 if with_model else 0.01)
    there, back = (read_transform(tmp_path / "out" / f"{name}.nii.gz") for name in ("displacement", "inverse"))
    fixed, moving = (read_volume(scans[name]) for name in ("fixed", "moving"))
    places = np.random.default_rng(0).uniform(8, np.array(fixed.array.shape) - 9, (200, 3))
    points = places @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
    middle = there(points)
    voxels = np.linalg.solve(moving.affine[:3, :3], (middle - moving.affine[:3, 3]).T)
    within = np.all((voxels > 1) & (voxels < np.array(moving.array.shape)[:, None] - 2), axis=0)
    assert within.sum() > 50
    apart = np.linalg.norm(back(middle) - points, axis=1)[within]
    assert np.median(apart) < (0.3 if with_model else 0.1)  # both files are linear between their voxels
