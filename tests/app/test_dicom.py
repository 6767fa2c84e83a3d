"""DICOM series: sorted by position, and what is odd said; MetaImage and NRRD by their round trip."""

import re
import shutil

import numpy as np
import pytest
import SimpleITK

from app.data.dicom import read_dicom_folder
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError


def write_series(folder, array, normal=(0.0, 0.0, 1.0), step=4.0, name="1.2.3", positions=None, part="PELVIS",
                 echo=1, prefix=""):  # fmt: skip
    """A series as a scanner writes it, its file names in no order."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    places = np.arange(len(array)) * step if positions is None else positions
    for number, (pixels, place) in enumerate(zip(array, places, strict=True)):
        image = SimpleITK.GetImageFromArray(pixels[None])
        image.SetSpacing([1.5, 2.0, step])
        at = np.array([-10.0, 20.0, 5.0]) + np.array(normal) * place
        tags = {
            "0008|0060": "MR", "0020|000e": name, "0020|000d": "1.2", "0008|0018": f"{name}.{number}",
            "0020|0032": "\\".join(f"{item:.4f}" for item in at), "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(number), "0018|0015": part, "0008|103e": "t2", "0018|0086": str(echo),
        }  # fmt: skip
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{prefix}{name}-{pixels.shape[0]}-{(number * 7) % 11:02d}-{number}.dcm"))
        writer.Execute(image)


@pytest.fixture
def array(rng):
    return rng.integers(0, 900, (6, 10, 12)).astype("uint16")


def test_a_series_is_sorted_by_position(array, tmp_path):
    """By file name the slices would come in another order."""
    write_series(tmp_path / "s", array)
    (series,), refused = read_dicom_folder(tmp_path / "s")
    assert not refused
    assert not series.flags
    assert series.body_part == "PELVIS"
    np.testing.assert_array_equal(series.volume().array, np.transpose(array, (2, 1, 0)))
    expected = np.array([[-1.5, 0, 0, 10], [0, -2.0, 0, -20], [0, 0, 4.0, 5], [0, 0, 0, 1]])
    np.testing.assert_allclose(series.volume().affine, expected, atol=1e-6)
    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, series.volume().array)


def test_a_real_series_is_as_simpleitk_and_the_nifti_have_it(data_folder):
    """Against another reader, and the converted file of the same series."""
    folder = data_folder / "body_region" / "prostatex_pelvis"
    (series,), _ = read_dicom_folder(folder / "dicom_adc_px0000")
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "dicom_adc_px0000")))
    np.testing.assert_array_equal(series.volume().array, SimpleITK.GetArrayFromImage(reader.Execute()).T)
    nifti = read_volume(folder / "px0000_adc_tra.nii.gz")
    np.testing.assert_allclose(series.volume().affine, nifti.affine, atol=1e-4)
    np.testing.assert_allclose(series.volume().array, nifti.array, atol=1e-3)


def test_what_is_odd_is_said(array, tmp_path):
    """Each of these reads without a word elsewhere, and gives a distorted volume."""
    write_series(tmp_path / "twice", array, positions=[0, 4, 8, 8, 12, 16])
    (twice,), _ = read_dicom_folder(tmp_path / "twice")
    assert twice.volume().array.shape[2] == 5
    assert "1 slices of the same position" in twice.flags[0]
    write_series(tmp_path / "gap", array, positions=[0, 4, 8, 16, 20, 24])
    (gap,), _ = read_dicom_folder(tmp_path / "gap")
    assert "1 steps other than 4.00 mm, the first after slice 2" in gap.flags[0]
    filled = gap.volume()
    assert filled.array.shape[2] == 7
    assert filled.affine[2, 2] == pytest.approx(4.0)
    np.testing.assert_allclose(filled.array[..., 3], 0.5 * (array[2].T + array[3].T.astype(float)))
    tilt = np.radians(12)
    write_series(tmp_path / "tilt", array, normal=(0.0, np.tan(tilt), 1.0))
    (tilted,), _ = read_dicom_folder(tmp_path / "tilt")
    assert "gantry tilt of 12.0 degrees" in tilted.flags[0]
    np.testing.assert_allclose(tilted.volume().affine[:3, 2], [0, -4 * np.tan(tilt), 4], atol=1e-3)


def test_several_series_in_a_folder_are_kept_apart(array, tmp_path):
    """Stacked together they would be one monstrous volume."""
    write_series(tmp_path, array, name="1.2.3")
    write_series(tmp_path, array[:4], name="1.2.4", part="CHEST")
    series, _ = read_dicom_folder(tmp_path)
    assert sorted((dicom_series.volume().array.shape[2], dicom_series.body_part) for dicom_series in series) == [
        (4, "CHEST"),
        (6, "PELVIS"),
    ]
    with pytest.raises(UserError, match="must hold one DICOM series; found 2 series"):
        read_volume(tmp_path)


def test_a_localiser_and_a_broken_file(array, tmp_path, data_folder):
    """Refused with the reason."""
    write_series(tmp_path / "one", array[:1])
    assert "1 slice; a volume needs two or more" in read_dicom_folder(tmp_path / "one")[1][0]
    source = data_folder / "body_region" / "prostatex_pelvis" / "dicom_adc_px0000"
    shutil.copytree(source, tmp_path / "broken")
    victim = sorted((tmp_path / "broken").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:2000])
    (series,), refused = read_dicom_folder(tmp_path / "broken")
    assert f"{victim.name}: no image, or damaged; left out" in refused[0]
    assert "uneven slices" in series.flags[0]
    with pytest.raises(UserError, match="no DICOM file"):
        read_volume(tmp_path)


def test_tags_without_values_and_other_matrices_are_left_out(array, tmp_path):
    """Anonymisers empty tags, scanners add a reformatted slice: neither may end the whole archive's run."""
    write_series(tmp_path / "s", array)
    write_series(tmp_path / "s", array[:1, :8], positions=[400.0])
    write_series(tmp_path / "empty", array)
    for path in (tmp_path / "empty").iterdir():
        position = re.compile(rb"-10(\.0*)?\\20(\.0*)?\\[\d.]+")
        emptied = position.sub(lambda found: b" " * len(found.group()), path.read_bytes())
        assert emptied != path.read_bytes()
        path.write_bytes(emptied)
    _, refused = read_dicom_folder(tmp_path / "empty")
    assert "no file says where its slice lies" in refused[0]
    (series,), _ = read_dicom_folder(tmp_path / "s")
    assert "1 slices of another matrix than 12 x 10 left out" in series.flags[0]
    assert series.volume().array.shape == (12, 10, 6)


def test_of_two_echoes_the_first_is_taken(array, tmp_path):
    """By file name they would be mixed slice by slice."""
    write_series(tmp_path, array, echo=2)
    write_series(tmp_path, array[::-1] // 2, positions=np.arange(6)[::-1] * 4.0, echo=1, prefix="z")
    (series,), _ = read_dicom_folder(tmp_path)
    assert series.flags[0].startswith("2 parts: #1 echo 1 (6 slices) is read, left out: #2 echo 2 (6 slices); FOLDER#N")
    np.testing.assert_array_equal(series.volume().array, np.transpose(array // 2, (2, 1, 0)))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_metaimage_and_nrrd_keep_grid_and_values(suffix, rng, tmp_path):
    """An LPS frame taken for RAS would mirror the patient."""
    affine = np.array([[0.0, -2, 0.3, 5], [1.4, 0, 0, -7], [0, 0.4, 3, 100], [0, 0, 0, 1]])
    q, _ = np.linalg.qr(affine[:3, :3])
    affine[:3, :3] = q * [1.4, 2.0, 3.0]
    volume = Volume(rng.integers(-500, 500, (5, 6, 7)).astype("int16"), affine)
    write_volume(tmp_path / f"v{suffix}", volume)
    again = read_volume(tmp_path / f"v{suffix}")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, affine, atol=1e-9)
    image = SimpleITK.ReadImage(str(tmp_path / f"v{suffix}"))
    point = np.array(image.TransformIndexToPhysicalPoint((1, 2, 3)))
    np.testing.assert_allclose(np.diag([-1, -1, 1]) @ point, (affine @ [1, 2, 3, 1])[:3], atol=1e-6)
