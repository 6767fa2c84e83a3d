"""DICOM Deformable Spatial Registration: by the standard's equation, there and back, and what is refused."""

import numpy as np
import pydicom
import pytest
from scipy.ndimage import gaussian_filter

from app.data.read import read_volume
from app.errors import UserError
from app.transforms.dicom import write_dicom_transform
from app.transforms.files import read_transform
from app.transforms.transform import Field
from tests.app.dicom_files import write_slices
from tests.app.refusals import assert_refused

LPS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Two series of smooth blobs, each in a frame of reference of its own."""
    folder, rng = tmp_path_factory.mktemp("series"), np.random.default_rng(0)
    blobs = gaussian_filter(rng.normal(size=(12, 22, 24)), 2.0)
    blobs = (1000 * (blobs - blobs.min())).astype("uint16")
    for number, name in enumerate(("moving", "fixed")):
        array = np.roll(blobs, number, axis=2)
        write_slices(folder / name, array, SeriesInstanceUID=f"1.2.3.4{number}", FrameOfReferenceUID=f"1.2.3.1{number}")
    return folder


def field_of(volume, seed=1):
    """A smooth field on a volume's grid."""
    rng = np.random.default_rng(seed)
    vectors = np.stack([gaussian_filter(rng.normal(size=volume.array.shape), 3.0) for _ in range(3)], axis=-1)
    return Field((40.0 * vectors).astype("float32"), np.asarray(volume.affine, float))


def source_of(data, places):
    """The standard's equation C.20.3.1.1 at the grid's own points, in LPS millimetres."""
    item = data.DeformableRegistrationSequence[0]
    grid = item.DeformableRegistrationGridSequence[0]
    row, column = np.array(grid.ImageOrientationPatient, float).reshape(2, 3)
    axes = np.stack([row, column, np.cross(row, column)]) * np.array(grid.GridResolution)[:, None]
    points = places @ axes + np.array(grid.ImagePositionPatient, float)
    columns, rows, planes = grid.GridDimensions
    offsets = np.frombuffer(grid.VectorGridData, "<f4").reshape(planes, rows, columns, 3)[tuple(places[:, ::-1].T)]

    def matrix(name):
        part = item.get(f"{name}DeformationMatrixRegistrationSequence")
        return np.array(part[0].FrameOfReferenceTransformationMatrix, float).reshape(4, 4) if part else np.eye(4)

    before, after = matrix("Pre"), matrix("Post")
    moved = points @ before[:3, :3].T + before[:3, 3] + offsets
    return points, moved @ after[:3, :3].T + after[:3, 3]


def test_what_we_write_is_the_standards(series, tmp_path):
    """Read by pydicom and the standard's equation alone: the grid, its order, its axes and its signs."""
    fixed = read_volume(series / "fixed")
    field = field_of(fixed)
    write_dicom_transform(tmp_path / "a.dcm", field, series / "moving", series / "fixed")
    data = pydicom.dcmread(tmp_path / "a.dcm")
    places = np.array([[3, 5, 2], [20, 9, 7], [11, 17, 10]])
    points, moved = source_of(data, places)
    np.testing.assert_allclose(field(points * LPS) * LPS, moved, atol=1e-3)
    assert data.FrameOfReferenceUID == "1.2.3.11"
    assert data.DeformableRegistrationSequence[0].SourceFrameOfReferenceUID == "1.2.3.10"
    assert len(data.DeformableRegistrationSequence[0].ReferencedImageSequence) == 12
    assert (data.Modality, data.PatientID) == ("REG", "X")
    back = read_transform(tmp_path / "a.dcm")
    np.testing.assert_allclose(back(points * LPS), field(points * LPS), atol=1e-3)


def test_a_left_handed_grid(series, tmp_path):
    """The standard's third axis is the cross product of the others: a mirrored grid is written in the other order."""
    field = field_of(read_volume(series / "fixed"))
    mirrored = Field(field.vectors[:, :, ::-1], field.affine @ np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, field.shape[2] - 1], [0, 0, 0, 1.0]]))  # fmt: skip
    write_dicom_transform(tmp_path / "a.dcm", mirrored, series / "moving", series / "fixed")
    points = source_of(pydicom.dcmread(tmp_path / "a.dcm"), np.array([[4, 6, 3], [15, 12, 8]]))[0] * LPS
    np.testing.assert_allclose(read_transform(tmp_path / "a.dcm")(points), field(points), atol=1e-3)


def test_matrices_before_and_after(series, tmp_path):
    """As treatment planning systems write them: the order of the three parts is the standard's."""
    write_dicom_transform(
        tmp_path / "a.dcm", field_of(read_volume(series / "fixed")), series / "moving", series / "fixed"
    )
    data = pydicom.dcmread(tmp_path / "a.dcm")
    for name, shift in (("Pre", [3.0, -2.0, 1.0]), ("Post", [-5.0, 4.0, 6.0])):
        matrix, part = np.eye(4), pydicom.Dataset()
        matrix[:3, :3] += 0.05 * np.arange(9).reshape(3, 3) / 8
        matrix[:3, 3] = shift
        part.FrameOfReferenceTransformationMatrix = matrix.ravel().tolist()
        part.FrameOfReferenceTransformationMatrixType = "AFFINE"
        setattr(data.DeformableRegistrationSequence[0], f"{name}DeformationMatrixRegistrationSequence", [part])
    data.save_as(tmp_path / "b.dcm")
    points, moved = source_of(data, np.array([[3, 5, 2], [20, 9, 7], [11, 17, 10]]))
    np.testing.assert_allclose(read_transform(tmp_path / "b.dcm")(points * LPS), moved * LPS, atol=1e-3)


def test_what_is_refused(series, tmp_path):
    """An image, a grid cut short, images that are not of DICOM."""
    with pytest.raises(UserError, match="no Deformable Spatial Registration"):
        read_transform(next((series / "fixed").iterdir()))
    field = field_of(read_volume(series / "fixed"))
    write_dicom_transform(tmp_path / "a.dcm", field, series / "moving", series / "fixed")
    data = pydicom.dcmread(tmp_path / "a.dcm")
    grid = data.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    grid.VectorGridData = grid.VectorGridData[:1200]
    data.save_as(tmp_path / "short.dcm")
    with pytest.raises(UserError, match="and holds 100"):
        read_transform(tmp_path / "short.dcm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not of DICOM"):
        write_dicom_transform(tmp_path / "b.dcm", field, tmp_path / "empty", series / "fixed")
    assert not (tmp_path / "b.dcm").exists()


def test_register_writes_one_and_apply_reads_it(main, series, tmp_path):
    """From two folders of DICOM to the object, and by it to the moved image; as a composite, too."""
    words = [
        f"moving={series / 'moving'}",
        f"fixed={series / 'fixed'}",
        "affine=none",
        "preset=fast",
        f"output={tmp_path / 'r'}",
    ]
    done = main("register", *(word for each in words for word in ("--set", each)))
    assert done.returncode == 0, done.stderr
    warp = tmp_path / "r/registration.dcm"
    words = [f"transforms=[{warp}]", f"images=[{series / 'moving'}]", f"output={tmp_path / 'a'}", "composite=again.dcm"]
    reference = f"reference={series / 'fixed'}"
    done = main("apply", *(word for each in [*words, reference] for word in ("--set", each)))
    assert done.returncode == 0, done.stderr
    moved, ours = (
        read_volume(path).array.astype(float)
        for path in (tmp_path / "r/moved.nii.gz", tmp_path / "a/images/moving.nii.gz")
    )
    assert np.abs(moved - ours).mean() < 0.002 * np.ptp(moved)
    points = np.array([[-2.0, -30.0, 20.0]])
    np.testing.assert_allclose(
        read_transform(tmp_path / "a/again.dcm")(points), read_transform(warp)(points), atol=1e-2
    )
    words[-1], words[2] = "composite=a.dcm", f"output={tmp_path / 'no'}"
    done = main("apply", *(word for each in words for word in ("--set", each)))
    assert_refused(done, ["both of DICOM"])
