"""Transforms in files of each program: round trips, and the arithmetic of each convention done here by hand."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from app.data.volume import Volume
from app.errors import UserError
from app.notes import forget, said
from app.transforms.files import read_linear, read_transform, write_transform
from app.transforms.transform import Chain
from tests.app.warp_cases import GRIDS, in_itk, points_within, smooth_field, through_itk, turned

REFERENCE = Volume(np.zeros(GRIDS["oblique"][0], "uint8"), GRIDS["oblique"][1])
MOVING = Volume(np.zeros(GRIDS["straight"][0], "uint8"), GRIDS["straight"][1])
POINTS = points_within("oblique", margin=5)


@pytest.fixture(autouse=True)
def _new_command():
    forget()


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mgz", "a.mha", "a.nrrd", "a.npz", "a.h5"])
def test_fields_come_back(tmp_path, name):
    """Every format that we write, on an oblique grid: what is read moves points as what was written."""
    chain = Chain((smooth_field(2, "oblique"),))
    write_transform(tmp_path / name, chain, None, REFERENCE)
    np.testing.assert_allclose(read_transform(tmp_path / name)(POINTS), chain(POINTS), atol=1e-3)


@pytest.mark.parametrize("name", ["a.tfm", "a.txt", "a.mat", "a.lta", "a.h5"])
def test_matrices_come_back(tmp_path, name):
    """Every format of matrices that says itself what it is."""
    chain = Chain((turned(),))
    write_transform(tmp_path / name, chain, MOVING, REFERENCE)
    np.testing.assert_allclose(read_transform(tmp_path / name)(POINTS), chain(POINTS), atol=1e-3)
    np.testing.assert_allclose(read_linear(tmp_path / name), turned().matrix, atol=1e-4)


@pytest.mark.parametrize("kind", ["fsl", "matrix"])
def test_texts_of_numbers_need_their_kind(tmp_path, kind):
    """FSL's and greedy's matrices look alike and differ: they are refused until somebody says which."""
    chain, path = Chain((turned(),)), tmp_path / "a.mat"
    write_transform(path, chain, MOVING, REFERENCE, kind)
    with pytest.raises(UserError, match="set its kind"):
        read_transform(path)
    read = read_transform(path, kind, MOVING, REFERENCE)
    np.testing.assert_allclose(read(POINTS), chain(POINTS), atol=1e-3)
    if kind == "fsl":
        with pytest.raises(UserError, match="name them as `moving`"):
            read_transform(path, kind)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd", "a.tfm", "a.txt", "a.mat", "a.h5"])
def test_itk_reads_what_we_write(tmp_path, name):
    """SimpleITK itself, on points: no reader of ours is asked."""
    linear = name in ("a.tfm", "a.txt", "a.mat")
    chain = Chain((turned(),) if linear else (turned(), smooth_field(2, "oblique")))
    write_transform(tmp_path / name, chain, None, REFERENCE)
    if name in ("a.nii.gz", "a.mha", "a.nrrd"):
        image = SimpleITK.ReadImage(str(tmp_path / name), SimpleITK.sitkVectorFloat64)
        transform = SimpleITK.DisplacementFieldTransform(image)
    else:
        transform = SimpleITK.ReadTransform(str(tmp_path / name))
    np.testing.assert_allclose(through_itk(transform, POINTS), chain(POINTS), atol=2e-2 if not linear else 1e-4)


@pytest.mark.parametrize("name", ["a.tfm", "a.h5", "a.mat", "a.xfm"])
def test_we_read_what_itk_writes(tmp_path, name):
    """Composites, one within another, and MINC's and MATLAB's files."""
    steps = [turned()] if name in ("a.mat", "a.xfm") else [turned(), smooth_field(1)]
    parts = [in_itk(step) for step in steps]
    whole = parts[0] if len(parts) == 1 else SimpleITK.CompositeTransform(parts)
    SimpleITK.WriteTransform(whole, str(tmp_path / name))
    np.testing.assert_allclose(read_transform(tmp_path / name)(POINTS), Chain(tuple(steps))(POINTS), atol=1e-3)


def test_splines_are_sampled_on_the_fixed_grid(tmp_path):
    """elastix' kind of transform: between voxels it is linear here, which is said."""
    image = SimpleITK.Image([26, 34, 18], SimpleITK.sitkUInt8)
    _, affine = GRIDS["oblique"]
    lps = np.diag([-1, -1, 1, 1]) @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(sizes.tolist())
    image.SetDirection((lps[:3, :3] / sizes).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    splines = SimpleITK.BSplineTransformInitializer(image, [4, 4, 4])
    splines.SetParameters(np.random.default_rng(0).normal(0, 1.5, len(splines.GetParameters())).tolist())
    SimpleITK.WriteTransform(splines, str(tmp_path / "a.tfm"))
    with pytest.raises(UserError, match="needs? the grid of the fixed image"):
        read_transform(tmp_path / "a.tfm")
    read = read_transform(tmp_path / "a.tfm", fixed=REFERENCE)
    np.testing.assert_allclose(read(POINTS), through_itk(splines, POINTS), atol=0.05)
    assert any("B-splines" in line for line in said())


def test_ras_millimetres_by_hand(tmp_path):
    """FreeSurfer's convention, by nibabel alone: `ras = affine @ voxel + vector`, four frames of an MGZ."""
    field = smooth_field(2, "oblique")
    write_transform(tmp_path / "a.mgz", Chain((field,)), None, REFERENCE)
    image = nibabel.load(tmp_path / "a.mgz")
    assert image.shape == (*GRIDS["oblique"][0], 3)
    voxel = np.array([7, 9, 6])
    ras = nibabel.affines.apply_affine(image.affine, voxel)
    np.testing.assert_allclose(ras + image.get_fdata()[7, 9, 6], field(ras[None])[0], atol=1e-4)


def test_voxels_by_hand(tmp_path):
    """VoxelMorph's convention: `moving[p + u[p]]`, `u` in voxels of the fixed image."""
    field = smooth_field(2, "oblique")
    write_transform(tmp_path / "a.npz", Chain((field,)), None, REFERENCE)
    content = np.load(tmp_path / "a.npz")
    voxel = np.array([7, 9, 6])
    at = nibabel.affines.apply_affine(content["affine"], voxel + content["vol"][7, 9, 6])
    there = nibabel.affines.apply_affine(content["affine"], voxel)
    np.testing.assert_allclose(at, field(there[None])[0], atol=1e-4)


def test_lta_by_hand(tmp_path):
    """FreeSurfer's matrix leads the other way: from the moving image's RAS to the fixed one's."""
    write_transform(tmp_path / "a.lta", Chain((turned(),)), MOVING, REFERENCE)
    lines = (tmp_path / "a.lta").read_text().splitlines()
    start = lines.index("1 4 4") + 1
    matrix = np.array([[float(word) for word in line.split()] for line in lines[start : start + 4]])
    np.testing.assert_allclose(nibabel.affines.apply_affine(matrix, turned()(POINTS)), POINTS, atol=1e-4)
    source = lines[lines.index("src volume info") : lines.index("dst volume info")]
    assert any(line.startswith("volume = 24 26 22") for line in source), source


def test_fsl_by_hand(tmp_path):
    """FLIRT: moving to fixed, in voxels times voxel size, the first axis turned where the determinant is positive."""
    write_transform(tmp_path / "a.mat", Chain((turned(),)), MOVING, REFERENCE, "fsl")
    matrix = np.loadtxt(tmp_path / "a.mat")

    def scaled(volume, points):
        voxels = nibabel.affines.apply_affine(np.linalg.inv(volume.affine), points)
        if np.linalg.det(volume.affine[:3, :3]) > 0:
            voxels[:, 0] = volume.array.shape[0] - 1 - voxels[:, 0]
        return voxels * volume.spacing_mm

    moved = turned()(POINTS)
    np.testing.assert_allclose(
        nibabel.affines.apply_affine(matrix, scaled(MOVING, moved)), scaled(REFERENCE, POINTS), atol=1e-3
    )


def _nifti(path, array, intent="vector"):
    image = nibabel.Nifti1Image(array.astype("float32"), np.eye(4))
    image.header.set_intent(intent)
    nibabel.save(image, path)


def test_what_is_refused(tmp_path):
    """Each in a line that says what to do; nothing is guessed."""
    vectors = np.zeros((5, 6, 7, 1, 3))
    _nifti(tmp_path / "two.nii", vectors[..., :2])
    _nifti(tmp_path / "four.nii", np.zeros((5, 6, 7, 1, 4)))
    _nifti(tmp_path / "unsaid.nii", vectors[:, :, :, 0], "none")
    vectors[2, 2, 2] = np.nan
    _nifti(tmp_path / "nan.nii", vectors)
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7), "float32"), np.eye(4)), tmp_path / "image.nii")
    SimpleITK.WriteTransform(SimpleITK.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    (tmp_path / "a.m3z").write_bytes(bytes(9))
    (tmp_path / "a.lta").write_text("type = 1\nnxforms = 1\n")
    (tmp_path / "a.tfm").write_text("#Insight Transform File V1.0\n")
    (tmp_path / "a.json").write_text("{}")
    cases = {
        "two.nii": "2 components", "four.nii": "4 components", "unsaid.nii": "set its kind", "nan.nii": "NaN",
        "image.nii": "has 3 components", "flat.tfm": "2D", "a.h5": "another kind", "a.m3z": "mri_warp_convert",
        "a.lta": "LTA", "a.tfm": "cannot be read", "a.json": "unknown format", "none.nii.gz": "no such transform",
    }  # fmt: skip
    for name, words in cases.items():
        with pytest.raises(UserError, match=words) as refused:
            read_transform(tmp_path / name)
        assert len(refused.value.problems) == 1
        assert name in refused.value.problems[0]


def test_what_is_not_written(tmp_path):
    """A matrix' format for a field, and a name of no format."""
    with pytest.raises(UserError, match="linear transforms only"):
        write_transform(tmp_path / "a.lta", Chain((smooth_field(1),)), None, REFERENCE)
    with pytest.raises(UserError, match="not written so"):
        write_transform(tmp_path / "a.doc", Chain((turned(),)), None, REFERENCE)
    assert not list(tmp_path.iterdir())
