"""The task `apply`: images, labels, points and surfaces, from the command line, against SimpleITK and by hand."""

import json

import nibabel
import numpy as np
import pytest
import SimpleITK

from app.systems.template.surfaces import surface, write_gifti, write_stl
from app.transforms.transform import Chain
from tests.app.warp_cases import GRIDS, apply_words, in_itk, points_within, smooth_field, turned

RANGE_SHARE = 0.005


def moved_by_itk(folder, interpolator, name="moving.nii.gz"):
    """SimpleITK alone: its reader, its composite transform, its resampling."""
    image, fixed = (SimpleITK.ReadImage(str(folder / each)) for each in (name, "fixed.nii.gz"))
    vectors = SimpleITK.ReadImage(str(folder / "warp.nii.gz"), SimpleITK.sitkVectorFloat64)
    steps = [SimpleITK.ReadTransform(str(folder / "affine.tfm")), SimpleITK.DisplacementFieldTransform(vectors)]
    chain, least = SimpleITK.CompositeTransform(steps), float(SimpleITK.GetArrayFromImage(image).min())
    return SimpleITK.GetArrayFromImage(SimpleITK.Resample(image, fixed, chain, interpolator, least)).T


@pytest.mark.parametrize(("interpolation", "itk"), [("linear", SimpleITK.sitkLinear), ("cubic", SimpleITK.sitkBSpline)])
def test_images_are_moved_as_by_itk(main, warp_files, tmp_path, interpolation, itk):
    """An affine composed with a warp on another grid, one resampling."""
    done = main(
        *apply_words(warp_files, tmp_path / "out", images=[warp_files / "moving.nii.gz"], interpolation=interpolation)
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = nibabel.load(tmp_path / "out/images/moving.nii.gz"), moved_by_itk(warp_files, itk).astype(float)
    np.testing.assert_allclose(ours.affine, GRIDS["oblique"][1], atol=1e-4)
    assert ours.get_data_dtype() == "int16"
    assert np.abs(ours.get_fdata() - theirs).mean() < RANGE_SHARE * np.ptp(theirs)
    assert np.mean(np.abs(ours.get_fdata() - theirs) > 1) < 0.002  # rounding, and voxels at the very edge


@pytest.mark.parametrize(
    ("interpolation", "itk"), [("nearest", SimpleITK.sitkNearestNeighbor), ("linear", SimpleITK.sitkLabelLinear)]
)
def test_labels_are_moved_as_by_itk(main, warp_files, tmp_path, interpolation, itk):
    """No label is invented between two others, and ties aside each voxel has ITK's."""
    done = main(
        *apply_words(
            warp_files, tmp_path / "out", labels=[warp_files / "labels.nii.gz"], label_interpolation=interpolation
        )
    )
    assert done.returncode == 0, done.stderr
    ours = np.asarray(nibabel.load(tmp_path / "out/labels/labels.nii.gz").dataobj)
    assert set(np.unique(ours)) <= {0, 1, 2}
    assert np.mean(ours != moved_by_itk(warp_files, itk, "labels.nii.gz")) < 0.003


def test_frames_are_moved_each(main, warp_files, tmp_path):
    """A file of many frames: each as if it were alone, the time between them kept."""
    image = nibabel.load(warp_files / "moving.nii.gz")
    array = np.asarray(image.dataobj)
    several = nibabel.Nifti1Image(np.stack([array, array[::-1], 2 * array], axis=-1), image.affine)
    several.header.set_zooms((2, 2, 2, 2.5))
    nibabel.save(several, tmp_path / "bold.nii.gz")
    done = main(
        *apply_words(warp_files, tmp_path / "out", images=[tmp_path / "bold.nii.gz", warp_files / "moving.nii.gz"])
    )
    assert done.returncode == 0, done.stderr
    bold = nibabel.load(tmp_path / "out/images/bold.nii.gz")
    assert bold.shape == (*GRIDS["oblique"][0], 3)
    assert bold.header.get_zooms()[3] == 2.5
    alone = nibabel.load(tmp_path / "out/images/moving.nii.gz").get_fdata()
    np.testing.assert_array_equal(bold.get_fdata()[..., 0], alone)


def test_points_go_where_their_image_goes(main, warp_files, tmp_path):
    """A bright voxel of the moving image and a point on it end in the same place; other columns are kept."""
    done = main(*apply_words(warp_files, tmp_path / "out", points=[warp_files / "points.csv"]))
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out/points/points.csv").read_text().splitlines()
    assert lines[0] == "name,x,y,z"
    assert lines[3].startswith("p2,")
    moved = np.array([[float(word) for word in line.split(",")[1:]] for line in lines[1:]])
    forward = Chain((turned(), smooth_field(2, "oblique")))
    np.testing.assert_allclose(forward(moved), points_within(), atol=0.01)
    itk = SimpleITK.CompositeTransform([in_itk(turned()), in_itk(smooth_field(2, "oblique"))])
    back = np.array([itk.TransformPoint((p * [-1, -1, 1]).tolist()) for p in moved]) * [-1, -1, 1]
    np.testing.assert_allclose(back, points_within(), atol=0.01)


def test_points_of_slicer_keep_their_system(main, warp_files, tmp_path):
    """Markups in LPS and a list in RAS: the same place, each in its own words."""
    point = points_within()[4]
    markups = {"markups": [{"coordinateSystem": "LPS", "controlPoints": [
        {"label": "a", "position": (point * [-1, -1, 1]).tolist(), "description": "kept"}]}]}  # fmt: skip
    (tmp_path / "a.mrk.json").write_text(json.dumps(markups))
    (tmp_path / "a.fcsv").write_text(
        "# CoordinateSystem = RAS\n# columns = id,x,y,z,label\nn1,{},{},{},kept\n".format(*point)
    )
    done = main(*apply_words(warp_files, tmp_path / "out", points=[tmp_path / "a.mrk.json", tmp_path / "a.fcsv"]))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "out/points/a.mrk.json").read_text())["markups"][0]["controlPoints"][0]
    line = (tmp_path / "out/points/a.fcsv").read_text().splitlines()[-1].split(",")
    assert (written["description"], line[-1]) == ("kept", "kept")
    ras = np.array(written["position"]) * [-1, -1, 1]
    np.testing.assert_allclose([float(word) for word in line[1:4]], ras, atol=1e-5)
    np.testing.assert_allclose(Chain((turned(), smooth_field(2, "oblique")))(ras[None]), point[None], atol=0.01)


def test_surfaces_go_where_their_image_goes(main, warp_files, tmp_path):
    """A ball as GIfTI, STL and FreeSurfer: the same vertices in the scanner's space, the triangles kept."""
    shape, affine = GRIDS["straight"]
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    vertices, faces = surface(5.0 - np.linalg.norm(grid - np.array(shape) / 2, axis=-1), affine)
    write_gifti(tmp_path / "a.surf.gii", vertices, faces)
    write_stl(tmp_path / "a.stl", vertices, faces)
    moving = nibabel.MGHImage(np.zeros(shape, "uint8"), affine)
    to_surface = moving.header.get_vox2ras_tkr() @ np.linalg.inv(affine)
    info = {"head": np.array([2, 0, 20], np.int32), "valid": "1  # volume info valid", "filename": "moving.mgz",
            "volume": np.array(shape), "voxelsize": np.array(moving.header.get_zooms()[:3]),
            "xras": moving.header["Mdc"][0], "yras": moving.header["Mdc"][1], "zras": moving.header["Mdc"][2],
            "cras": moving.header["Pxyz_c"]}  # fmt: skip
    own = nibabel.affines.apply_affine(to_surface, vertices)
    nibabel.freesurfer.write_geometry(tmp_path / "lh.ball", own, faces, volume_info=info)
    done = main(
        *apply_words(
            warp_files, tmp_path / "out", surfaces=[tmp_path / each for each in ("a.surf.gii", "a.stl", "lh.ball")]
        )
    )
    assert done.returncode == 0, done.stderr
    moved = nibabel.load(tmp_path / "out/surfaces/a.surf.gii").darrays
    forward = Chain((turned(), smooth_field(2, "oblique")))
    np.testing.assert_allclose(forward(moved[0].data.astype(float)), vertices, atol=0.01)
    np.testing.assert_array_equal(moved[1].data, faces)
    corners = np.frombuffer((tmp_path / "out/surfaces/a.stl").read_bytes()[84:], [("n", "<f4", 3), ("c", "<f4", (3, 3)), ("u", "<u2")])["c"]  # fmt: skip  # noqa: E501
    np.testing.assert_allclose(corners, moved[0].data[faces], atol=1e-3)
    theirs, same, found = nibabel.freesurfer.read_geometry(tmp_path / "out/surfaces/lh.ball", read_metadata=True)
    fixed = nibabel.MGHImage(np.zeros(GRIDS["oblique"][0], "uint8"), GRIDS["oblique"][1])
    to_scanner = GRIDS["oblique"][1] @ np.linalg.inv(fixed.header.get_vox2ras_tkr())
    np.testing.assert_allclose(nibabel.affines.apply_affine(to_scanner, theirs), moved[0].data, atol=1e-3)
    np.testing.assert_array_equal(same, faces)
    np.testing.assert_array_equal(found["volume"], GRIDS["oblique"][0])
