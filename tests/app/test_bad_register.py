"""What `register` refuses."""

import nibabel
import numpy as np
import pytest

from tests.app.image_files import meta, nifti, nrrd
from tests.app.refusals import assert_refused


@pytest.fixture
def register_config(phantoms, trained, tmp_path):
    path = tmp_path / "register.yaml"
    images = phantoms.parent / "image"
    path.write_text(
        f"task: register\noutput: {tmp_path / 'out'}\nmodel: {trained}\n"
        f"moving: {images / 'phantom-000.nii.gz'}\nfixed: {images / 'phantom-001.nii.gz'}\n"
    )
    return path


def test_lambda_outside_its_range(main, register_config):
    """The network knows nothing beyond the range it was trained on."""
    assert_refused(
        main("register", "--config", register_config, "--set", "hyper.lambda=1.5"), ["1.5 is outside [0, 1]"]
    )
    assert_refused(
        main("register", "--config", register_config, "--set", "hyper.gamma=0.5"), ["no such hyper-parameter"]
    )


def test_register_refuses_what_is_no_model_or_image(main, register_config, phantoms, tmp_path):
    """A missing run folder, and a file that is no image."""
    assert_refused(
        main("register", "--config", register_config, "--set", "model=nowhere"), ["nowhere", "no trained model"]
    )
    assert_refused(main("register", "--config", register_config, "--set", "moving=a.txt"), ["unknown image format"])
    assert not (tmp_path / "out").exists()


def test_images_that_attack_the_reader(main, register_config, tmp_path):
    """ITK died of a pattern and of text from a device; other files of the machine became voxels."""
    hostile = {
        "pattern.mhd": (meta(ElementDataFile="%s%s%s%n 1 5 1"), "save it as one file"),
        "passwd.mhd": (meta(ElementDataFile="/etc/passwd"), "put the data file beside the header"),
        "zero.nhdr": (nrrd(data_file="/dev/zero", encoding="ascii"), "save it as raw or gzip"),
        "giant.nii": (nifti(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]), "claims 30000 x 30000 x 30000 voxels"),
    }
    for name, (content, words) in hostile.items():
        (tmp_path / name).write_bytes(content)
        done = main("register", "--config", register_config, "--set", f"moving={tmp_path / name}")
        assert_refused(done, [name, words])
    assert not (tmp_path / "out").exists()


def test_nan_is_zero_where_the_config_says_so(main, register_config, phantoms, tmp_path):
    """The border that resampling leaves is background: nobody should have to write another file for that."""
    image = nibabel.load(phantoms.parent / "image" / "phantom-000.nii.gz")
    array = np.asarray(image.dataobj).astype("float32")
    array[:2] = np.nan
    nibabel.save(nibabel.Nifti1Image(array, image.affine), tmp_path / "border.nii.gz")
    words = ["register", "--config", register_config, "--set", f"moving={tmp_path / 'border.nii.gz'}"]
    assert_refused(main(*words), ["border.nii.gz", "1152 voxels are NaN", "set nan: zero"])
    done = main(*words, "--set", "nan=zero")
    assert done.returncode == 0, done.stderr
    assert "1152 voxels are NaN; read as 0" in done.stdout
    moved = np.asarray(nibabel.load(tmp_path / "out" / "moved.nii.gz").dataobj)
    assert np.isfinite(moved).all()
    assert moved.any()
