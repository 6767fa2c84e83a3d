"""Transforms that ITK reads and writes: LPS millimetres, from the fixed image's points to the moving one's."""

import numpy as np

from app.data.geometry import set_nifti_affine
from app.data.write import place_image
from app.errors import UserError
from app.files import whole_file
from app.notes import note
from app.transforms.transform import Field, Linear

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SIGNS = np.array([-1.0, -1.0, 1.0], "float32")  # from LPS to RAS and back
SPLINES = "BSplineTransform"


def read_itk(path, fixed=None):
    """Read a transform of ITK, ANTs, elastix (as ITK writes it) or 3D Slicer.

    Args:
        path: `.tfm`, `.txt`, `.mat`, `.xfm`, or `.h5` of one transform or several.
        fixed: Grid `(shape, affine)` on which a B-spline transform is sampled; None where there is no such grid.

    Returns:
        List of `Linear` and `Field`, in the order of `Chain`.

    Raises:
        UserError: If the file holds no transform, another kind, or one of another dimension.
    """
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        transform = SimpleITK.ReadTransform(str(path))
    except RuntimeError:
        raise UserError(
            f"{path}: cannot be read as a transform of ITK: damaged, or of another kind; give a transform that ITK, "
            "ANTs or this program wrote, or say its `kind`"
        ) from None
    if transform.GetDimension() != 3:
        raise UserError(f"{path}: a transform of {transform.GetDimension()}D; give one of 3D")
    return [_step(each, path, fixed) for each in _parts(transform)]


def _parts(transform):
    """The transforms within a composite, those within these too."""
    import SimpleITK

    transform = transform.Downcast()
    if not isinstance(transform, SimpleITK.CompositeTransform):
        return [transform]
    return [part for index in range(transform.GetNumberOfTransforms()) for part in
            _parts(transform.GetNthTransform(index))]  # fmt: skip


def _step(transform, path, fixed):
    if transform.IsLinear():
        return Linear(linear_matrix(transform))
    if transform.GetName() == "DisplacementFieldTransform":
        import SimpleITK

        image = SimpleITK.DisplacementFieldTransform(transform).GetDisplacementField()
        return field_of_image(image, path)
    if SPLINES not in transform.GetName():
        raise UserError(
            f"{path}: holds a {transform.GetName()}, which is not read; save it as a displacement field "
            "(SimpleITK: TransformToDisplacementField)"
        )
    if fixed is None:
        raise UserError(f"{path}: B-splines, which need the grid of the fixed image; name it as `fixed`")
    note(f"{path}: B-splines, sampled on the grid of its fixed image; in between they are taken to be linear")
    return _sampled(transform, *fixed)


def _sampled(transform, shape, affine):
    import SimpleITK

    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = (lps[:3, :3] / spacing).ravel().tolist()
    image = SimpleITK.TransformToDisplacementField(
        transform, SimpleITK.sitkVectorFloat32, list(shape), lps[:3, 3].tolist(), spacing.tolist(), direction
    )
    return field_of_image(image, "B-splines")


def field_of_image(image, path):
    """A displacement field from an image of SimpleITK.

    Args:
        image: Of three components in LPS millimetres.
        path: For messages.

    Returns:
        `Field`.

    Raises:
        UserError: If it has not three axes and three components.
    """
    import SimpleITK

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 3:
        raise UserError(
            f"{path}: {image.GetNumberOfComponentsPerPixel()} components on "
            f"{image.GetDimension()} axes; a displacement "
            "field of a volume has 3 on 3"
        )
    vectors = SimpleITK.GetArrayViewFromImage(image).transpose(2, 1, 0, 3).astype("float32")
    vectors *= SIGNS
    affine = np.eye(4)
    direction = np.reshape(image.GetDirection(), (3, 3))
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Field(vectors, LPS @ affine)


def linear_matrix(transform):
    """The matrix of a linear transform of SimpleITK.

    Args:
        transform: SimpleITK transform of three dimensions.

    Returns:
        `(4, 4)`, in RAS millimetres.
    """
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, :3] = np.transpose([np.array(transform.TransformPoint(tuple(row))) - origin for row in np.eye(3)])
    matrix[:3, 3] = origin
    return LPS @ matrix @ LPS


def write_itk(path, steps):
    """Write transforms for ITK: `.tfm`, `.txt` or `.mat` of a linear one, `.h5` of any, several as a composite.

    Args:
        path: Its suffix decides.
        steps: List of `Linear` and `Field`, in the order of `Chain`.
    """
    import SimpleITK

    parts = [_itk_transform(step) for step in steps]
    whole = parts[0] if len(parts) == 1 else SimpleITK.CompositeTransform(parts)
    with whole_file(path) as temporary:
        SimpleITK.WriteTransform(whole, str(temporary))


def _itk_transform(step):
    import SimpleITK

    if isinstance(step, Linear):
        matrix = LPS @ step.matrix @ LPS
        transform = SimpleITK.AffineTransform(3)
        transform.SetMatrix(matrix[:3, :3].ravel().tolist())
        transform.SetTranslation(matrix[:3, 3].tolist())
        return transform
    array = np.ascontiguousarray(step.vectors.transpose(2, 1, 0, 3)) * SIGNS
    image = SimpleITK.GetImageFromArray(array.astype("float64"), isVector=True)  # ITK's fields are of doubles
    place_image(image, step.affine)
    return SimpleITK.DisplacementFieldTransform(image)


def write_itk_nifti(path, field):
    """Write a field as ITK, ANTs and 3D Slicer have it in NIfTI: 5-D `(i, j, k, 1, 3)` with vector intent.

    A field of a 2D image in an axial plane is `(i, j, 1, 1, 2)`, as ITK has it.

    Args:
        path: `.nii` or `.nii.gz`.
        field: `Field`.
    """
    import nibabel

    axial = field.flat and not np.any(field.affine[2, :2])
    components = 2 if axial else 3
    shape = (*field.shape, 1, components)
    vectors = np.empty(shape, "float32")
    for plane, source in zip(vectors, field.vectors, strict=True):
        plane[:, :, 0] = (source * SIGNS)[..., :components]
    header = nibabel.Nifti1Header()
    header.set_data_dtype("float32")
    header.set_data_shape(shape)
    header.set_intent("vector")
    set_nifti_affine(header, field.affine)
    with whole_file(path) as temporary:
        nibabel.save(nibabel.Nifti1Image(vectors, None, header), temporary)
