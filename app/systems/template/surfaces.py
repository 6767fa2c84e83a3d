"""Surfaces of structures, as files that viewers and printers read."""

import numpy as np
from skimage.measure import marching_cubes

from app.files import whole_file

SUFFIX = {"gifti": ".surf.gii", "stl": ".stl"}


def surface(distances, affine):
    """Where signed distances are 0.

    Args:
        distances: `(i, j, k)`, positive inside.
        affine: `(4, 4)`, voxel to RAS millimetres.

    Returns:
        Vertices `(n, 3)` in RAS mm, float32, and triangles `(m, 3)`, int32, seen counter-clockwise from outside.

    Raises:
        ValueError: If they are nowhere 0.
    """
    padded = np.pad(np.asarray(distances, "float32"), 1, constant_values=min(float(np.min(distances)), -1.0))
    vertices, faces, *_ = marching_cubes(padded, 0.0, gradient_direction="ascent")
    vertices = vertices - 1.0
    if np.linalg.det(affine[:3, :3]) < 0:
        faces = faces[:, ::-1]
    return (vertices @ affine[:3, :3].T + affine[:3, 3]).astype("float32"), faces.astype("int32")


def write_gifti(path, vertices, faces):
    """Write a surface as GIfTI.

    Args:
        path: `.surf.gii`.
        vertices, faces: As `surface` returns them.
    """
    import nibabel

    arrays = [
        nibabel.gifti.GiftiDataArray(vertices, intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32"),
        nibabel.gifti.GiftiDataArray(faces, intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32"),
    ]
    with whole_file(path) as temporary:
        nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), temporary)


def write_stl(path, vertices, faces):
    """Write a surface as binary STL, in RAS mm.

    Args:
        path: `.stl`.
        vertices, faces: As `surface` returns them.
    """
    corners = vertices[faces].astype("<f4")
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    table = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])
    table["normal"], table["corners"] = normals, corners
    with whole_file(path) as temporary:
        temporary.write_bytes(
            b"SPACE=RAS".ljust(80, b"\0") + np.uint32(len(faces)).astype("<u4").tobytes() + table.tobytes()
        )


WRITERS = {"gifti": write_gifti, "stl": write_stl}
