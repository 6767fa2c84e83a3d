"""`register` with a model on images as they come."""

import nibabel
import numpy as np
import pytest

from tests.app.test_register_anything import metrics, turned_pair
from tests.app.test_register_engine import save, words


@pytest.fixture(scope="module")
def scans(phantoms, tmp_path_factory):
    return turned_pair(phantoms, tmp_path_factory.mktemp("models"))


def test_a_model_on_other_grids(main, trained, scans, tmp_path):
    """Resampled to the grid of the training and back, aligned first; `refine` improves on the network."""
    dice = {}
    for refine in (0, 10):
        done = main(*words(tmp_path / f"{refine}", **scans, model=trained, refine=refine))
        assert done.returncode == 0, done.stderr
        assert "resampled to the model's grid" in done.stdout
        measures = metrics(tmp_path / f"{refine}")
        assert measures["mean_dice_after_affine"] > measures["mean_dice_before"] + 0.15
        dice[refine] = measures["mean_dice"]
    moved, fixed = nibabel.load(tmp_path / "0" / "moved.nii.gz"), nibabel.load(scans["fixed"])
    np.testing.assert_allclose(moved.affine, fixed.affine)
    assert dice[10] > dice[0] + 0.02


def test_images_that_a_model_has_not_seen_are_said(main, trained, phantoms, tmp_path):
    """Another contrast without a masked background: a network answers with confidence, wrongly."""
    path = phantoms.parent / "image" / "phantom-000.nii.gz"
    image = nibabel.load(path)
    array = np.asarray(image.dataobj).astype("float32")
    other = 300 - array + np.random.default_rng(0).normal(size=array.shape)
    strange = save(tmp_path / "strange.nii.gz", other, image.affine)
    done = main(*words(tmp_path / "out", moving=strange, fixed=path, model=trained))
    assert done.returncode == 0, done.stderr
    assert "strange.nii.gz: unlike the images of the training (share of background 0.0" in done.stdout
    assert f"{path}: unlike" not in done.stdout


def test_the_same_command_again(main, trained, phantoms, tmp_path):
    """What was decided for the user, such as no alignment, must not make a rerun another run."""
    images = phantoms.parent / "image"
    both = {"moving": images / "phantom-000.nii.gz", "fixed": images / "phantom-001.nii.gz"}
    for _ in range(2):
        done = main(*words(tmp_path / "out", **both, model=trained))
        assert done.returncode == 0, done.stderr
        assert "affine: none, since both images lie on a grid as in the model's training" in done.stdout
