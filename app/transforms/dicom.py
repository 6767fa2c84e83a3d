"""DICOM Deformable Spatial Registration objects: from the fixed image's frame of reference to the moving one's.

The fixed image's frame of reference is the standard's "registered", the moving one's its "source". A point of the
registered one goes through the matrix before, the grid's offset at the point is added, then through the matrix after.

Reference:
    - DICOM PS3.3, A.39.2 and C.20.3.
"""

import datetime

import numpy as np

from app.data.dicom import named_part
from app.data.dicom_file import is_dicom, open_dataset
from app.data.geometry import affine_of_axes
from app.errors import UserError
from app.files import is_litter, whole_file
from app.notes import note
from app.transforms.itk import LPS, SIGNS
from app.transforms.transform import Field, Linear

DEFORMABLE = "1.2.840.10008.5.1.4.1.1.66.3"
OF_PATIENT_AND_STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
FEWEST_BYTES = 12  # of a vector


def read_dicom_transform(path):
    """Read a Deformable Spatial Registration object.

    Args:
        path: DICOM file.

    Returns:
        List of `Linear` and `Field`, in the order of `Chain`.

    Raises:
        UserError: If it is another object, is damaged, or registers several images.
    """
    data = open_dataset(path)
    if str(data.get("SOPClassUID", "")) != DEFORMABLE:
        raise UserError(
            f"{path}: DICOM, but no Deformable Spatial Registration; give one, or a file of another program"
        )
    items = [
        item for item in data.get("DeformableRegistrationSequence", []) if _first(item, "DeformableRegistrationGrid")
    ]
    if len(items) != 1:
        raise UserError(f"{path}: {len(items)} deformation grids; give a file of one")
    (item,) = items
    before, after = (_matrix(item, f"{when}DeformationMatrixRegistration", path) for when in ("Pre", "Post"))
    field = _grid(_first(item, "DeformableRegistrationGrid"), path)
    if not np.allclose(before, np.eye(4)):  # the offset is read at the point itself, not where the matrix leads
        points = np.stack(np.meshgrid(*map(np.arange, field.shape), indexing="ij"), axis=-1)
        points = points @ field.affine[:3, :3].T + field.affine[:3, 3]
        moved = points @ before[:3, :3].T + before[:3, 3] - points
        field = Field((field.vectors + moved).astype("float32"), field.affine)
        note(f"{path}: the matrix before its deformation is taken into the grid, and holds within it alone")
    return [field] if np.allclose(after, np.eye(4)) else [Linear(after), field]


def _first(item, name):
    """The one item of a sequence, or None."""
    sequence = item.get(f"{name}Sequence") or [None]
    return sequence[0]


def _matrix(item, name, path):
    part = _first(item, name)
    if part is None:
        return np.eye(4)
    numbers = np.array(part.get("FrameOfReferenceTransformationMatrix", []), float)
    if numbers.size != 16 or not np.all(np.isfinite(numbers)):
        raise UserError(f"{path}: a matrix of {numbers.size} numbers, 16 are expected; write the object again")
    return LPS @ numbers.reshape(4, 4) @ LPS


def _grid(grid, path):
    try:
        size = tuple(int(number) for number in grid.GridDimensions)
        resolution = np.array(grid.GridResolution, float)
        row, column = np.array(grid.ImageOrientationPatient, float).reshape(2, 3)
        origin = np.array(grid.ImagePositionPatient, float)
        content = grid.VectorGridData
    except (AttributeError, ValueError, TypeError) as error:
        raise UserError(f"{path}: its grid is not complete ({str(error)[:80]}); write the object again") from None
    if len(size) != 3 or min(size) < 1 or len(content) // FEWEST_BYTES != int(np.prod(size)):
        raise UserError(
            f"{path}: its grid says {' x '.join(map(str, size))} vectors, and holds {len(content) // FEWEST_BYTES}; "
            "write the object again"
        )
    vectors = np.frombuffer(content, "<f4").reshape(*size[::-1], 3).transpose(2, 1, 0, 3) * SIGNS
    undefined = ~np.isfinite(vectors).all(axis=-1)
    if undefined.any():
        note(f"{path}: {np.count_nonzero(undefined)} of its vectors are undefined (NaN); read as 0")
        vectors = np.where(undefined[..., None], np.float32(0), vectors)
    axes = np.stack([row, column, np.cross(row, column)]) * resolution[:, None]
    return Field(np.ascontiguousarray(vectors, "float32"), affine_of_axes(axes, origin))


def is_series(path):
    """Whether an image is of DICOM: a folder of files, or one file."""
    return bool(_files(path))


def _files(path):
    path, _ = named_part(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and not is_litter(file) and is_dicom(file)]


def write_dicom_transform(path, field, moving, fixed):
    """Write a Deformable Spatial Registration object, of the fixed image's patient and study.

    Args:
        path: `.dcm`.
        field: `Field` of three dimensions.
        moving: DICOM folder or file of the moving image.
        fixed: That of the fixed image.

    Raises:
        UserError: If an image is not of DICOM, or does not name its frame of reference.
    """
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    heads = {"moving": _headers(moving), "fixed": _headers(fixed)}
    now, own = datetime.datetime.now(), pydicom.Dataset()
    for name in OF_PATIENT_AND_STUDY:
        setattr(own, name, heads["fixed"][0].get(name, ""))
    own.SOPClassUID, own.SOPInstanceUID, own.SeriesInstanceUID = DEFORMABLE, generate_uid(), generate_uid()
    own.Modality, own.Manufacturer, own.ManufacturerModelName = "REG", "KerasMorph", "register"
    own.DeviceSerialNumber, own.SoftwareVersions, own.SeriesNumber, own.InstanceNumber = "0", "0.1.0", 1, 1
    own.ContentLabel, own.ContentDescription, own.ContentCreatorName = "REGISTRATION", "deformable registration", ""
    own.ContentDate = own.SeriesDate = now.strftime("%Y%m%d")
    own.ContentTime = own.SeriesTime = now.strftime("%H%M%S")
    own.FrameOfReferenceUID, own.PositionReferenceIndicator = heads["fixed"][0].FrameOfReferenceUID, ""
    item = pydicom.Dataset()
    item.SourceFrameOfReferenceUID = heads["moving"][0].FrameOfReferenceUID
    item.ReferencedImageSequence = _references(heads["moving"])
    item.RegistrationTypeCodeSequence = []
    item.DeformableRegistrationGridSequence = [_grid_item(field)]
    own.DeformableRegistrationSequence = [item]
    own.ReferencedSeriesSequence, own.StudiesContainingOtherReferencedInstancesSequence = _series_of(heads)
    own.file_meta = pydicom.dataset.FileMetaDataset()
    own.file_meta.MediaStorageSOPClassUID, own.file_meta.MediaStorageSOPInstanceUID = DEFORMABLE, own.SOPInstanceUID
    own.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with whole_file(path) as temporary:
        own.save_as(str(temporary), enforce_file_format=True)


def _headers(image):
    """Headers of a series' files.

    Raises:
        UserError: If there are none, or they do not name a frame of reference.
    """
    heads = [open_dataset(file, stop_before_pixels=True) for file in _files(image)]
    if not heads:
        raise UserError(f"{image}: not of DICOM, whose patient and frame of reference an object of registration names")
    if not heads[0].get("FrameOfReferenceUID"):
        raise UserError(
            f"{image}: does not name its frame of reference (FrameOfReferenceUID); write the warp as .nii.gz"
        )
    return [head for head in heads if head.get("SeriesInstanceUID") == heads[0].get("SeriesInstanceUID")]


def _references(heads):
    import pydicom

    references = []
    for head in heads:
        reference = pydicom.Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = head.SOPClassUID, head.SOPInstanceUID
        references.append(reference)
    return references


def _series_of(heads):
    """The module of references: series of the object's own study, and those of another."""
    import pydicom

    own, other = [], []
    for side in ("fixed", "moving"):
        series = pydicom.Dataset()
        series.SeriesInstanceUID = heads[side][0].SeriesInstanceUID
        series.ReferencedInstanceSequence = _references(heads[side])
        if heads[side][0].get("StudyInstanceUID") == heads["fixed"][0].get("StudyInstanceUID"):
            own.append(series)
            continue
        study = pydicom.Dataset()
        study.StudyInstanceUID, study.ReferencedSeriesSequence = heads[side][0].StudyInstanceUID, [series]
        other.append(study)
    return own, other


def _grid_item(field):
    """The field as the standard has it: x along a row, y down a column, z along their cross product."""
    import pydicom

    vectors, lps = field.vectors, LPS @ field.affine
    if np.linalg.det(lps[:3, :3]) < 0:  # a left-handed grid: its planes in the other order
        lps = lps.copy()
        lps[:3, 3] += lps[:3, 2] * (field.shape[2] - 1)
        lps[:3, 2] *= -1
        vectors = vectors[:, :, ::-1]
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    grid = pydicom.Dataset()
    grid.ImagePositionPatient = [float(f"{number:.10g}") for number in lps[:3, 3]]
    grid.ImageOrientationPatient = [float(f"{number:.10g}") for number in (lps[:3, :2] / sizes[:2]).T.ravel()]
    grid.GridDimensions, grid.GridResolution = list(field.shape), sizes.tolist()
    grid.VectorGridData = np.ascontiguousarray((vectors * SIGNS).transpose(2, 1, 0, 3), "<f4").tobytes()
    return grid
