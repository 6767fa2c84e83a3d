"""Surfaces in files: GIfTI, STL and FreeSurfer's; in memory vertices in RAS millimetres of the scanner."""

import dataclasses
from pathlib import Path

import numpy as np

from app.errors import UserError
from app.files import whole_file
from app.notes import note
from app.strangers import regular_file

STL_HEADER, STL_RECORD = 84, 50
SPACES = {"RAS": np.array([1.0, 1.0, 1.0]), "LPS": np.array([-1.0, -1.0, 1.0])}
FREESURFER = b"\xff\xff\xfe"


@dataclasses.dataclass(frozen=True)
class Surface:
    """A surface of a file, and how it is written back.

    Args:
        vertices: `(n, 3)`, RAS millimetres.
        writer: Function of a path, other vertices and the `Volume` of the space that they are in.
    """

    vertices: np.ndarray
    writer: object

    def write(self, path, vertices, reference):
        """Write other vertices in their place.

        Args:
            path: File.
            vertices: `(n, 3)`, RAS millimetres.
            reference: `Volume` in whose space they are: FreeSurfer's surfaces name its grid.
        """
        with whole_file(path) as temporary:
            self.writer(temporary, vertices, reference)


def read_surface(path):
    """Read a surface.

    Args:
        path: GIfTI (`.gii`), binary STL (`.stl`), or a surface of FreeSurfer (`lh.white`), whose vertices are read with
            the grid that it names.

    Returns:
        `Surface`.

    Raises:
        UserError: If it is missing, damaged or of another kind, or a vertex is not finite.
    """
    path = Path(path)
    regular_file(path, "surface")
    with open(path, "rb") as file:
        head = file.read(3)
    reader = {".gii": _read_gifti, ".stl": _read_stl}.get(path.suffix.lower())
    if reader is None and head == FREESURFER:
        reader = _read_freesurfer
    if reader is None:
        raise UserError(f"{path}: unknown format of a surface; give GIfTI (.gii), binary STL (.stl) or FreeSurfer's")
    try:
        surface = reader(path)
    except UserError:
        raise
    except Exception as error:  # nibabel and expat raise their own kinds
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise UserError(f"{path}: cannot be read as a surface ({reason}); restore it from its source") from None
    if not np.all(np.isfinite(surface.vertices)) or not len(surface.vertices):
        raise UserError(f"{path}: has no vertices, or some that are not finite; restore it from its source")
    return surface


def _read_gifti(path):
    import nibabel

    image = nibabel.load(path)
    arrays = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
    if len(arrays) != 1:
        raise UserError(f"{path}: {len(arrays)} sets of vertices; give a surface of one")

    def writer(to, vertices, reference):
        del reference
        arrays[0].data = vertices.astype(arrays[0].data.dtype)
        nibabel.save(image, to)

    return Surface(arrays[0].data.astype(float), writer)


def _read_stl(path):
    content = path.read_bytes()
    count = int(np.frombuffer(content[80:84], "<u4")[0]) if len(content) >= STL_HEADER else 0
    if len(content) != STL_HEADER + STL_RECORD * count or not count:
        raise UserError(f"{path}: no binary STL, or cut short; save it as binary STL")
    header = content[:80].decode("latin-1").upper()
    space = next((name for name in SPACES if f"SPACE={name}" in header.replace(" ", "")), None)
    if space is None:
        note(
            f"{path}: does not say in which space its corners are; taken to be RAS "
            "millimetres (SPACE=LPS in its header says other)"
        )
    signs = SPACES[space or "RAS"]
    table = np.frombuffer(content[STL_HEADER:], [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])

    def writer(to, vertices, reference):
        del reference
        moved = table.copy()
        moved["corners"] = (vertices * signs).reshape(-1, 3, 3)
        corners = moved["corners"]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        moved["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        to.write_bytes(content[:STL_HEADER] + moved.tobytes())

    return Surface(table["corners"].reshape(-1, 3).astype(float) * signs, writer)


def _read_freesurfer(path):
    import nibabel.freesurfer as freesurfer

    vertices, faces, metadata = freesurfer.read_geometry(path, read_metadata=True)
    if "cras" not in metadata or "xras" not in metadata:
        raise UserError(
            f"{path}: does not name the grid that its vertices belong to; write it again by FreeSurfer 5 or later"
        )
    to_scanner = _from_surface(metadata)

    def writer(to, moved, reference):
        grid = _volume_info(reference)
        back = np.linalg.inv(_from_surface(grid))
        own = moved @ back[:3, :3].T + back[:3, 3]
        freesurfer.write_geometry(to, own, faces, volume_info={**metadata, **grid, "filename": "reference"})

    return Surface(vertices @ to_scanner[:3, :3].T + to_scanner[:3, 3], writer)


def _from_surface(info):
    """From a surface's own millimetres ("tkregister RAS", about the grid's middle) to those of the scanner."""
    turn = np.column_stack([info["xras"], info["yras"], info["zras"]]).astype(float)
    sizes, count = np.array(info["voxelsize"], float), np.array(info["volume"], float)
    scanner, own = np.eye(4), np.eye(4)
    scanner[:3, :3] = turn * sizes
    scanner[:3, 3] = np.array(info["cras"], float) - scanner[:3, :3] @ count / 2
    own[:3, :3] = np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]]) * sizes
    own[:3, 3] = -own[:3, :3] @ count / 2
    return scanner @ np.linalg.inv(own)


def _volume_info(reference):
    affine, shape = np.asarray(reference.affine, float), np.array(reference.array.shape[:3])
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    turn = affine[:3, :3] / sizes
    return {
        "head": np.array([2, 0, 20], np.int32), "valid": "1  # volume info valid", "volume": shape, "voxelsize": sizes,
        "xras": turn[:, 0], "yras": turn[:, 1], "zras": turn[:, 2],
        "cras": affine[:3, :3] @ shape / 2 + affine[:3, 3],
    }  # fmt: skip
