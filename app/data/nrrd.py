"""Headers of NRRD files (.nrrd, .nhdr), checked before their voxels are read.

ITK's own reader follows whatever path such a header names, and some headers make it crash.
"""

import re

import numpy as np

from app.data.geometry import affine_of_axes
from app.data.header_fields import beside, not_packed, one_value, real_numbers, whole_numbers
from app.data.stored import Stored, check_claim
from app.errors import UserError
from app.notes import note
from app.strangers import regular_file

LONGEST_HEADER = 2**20
TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int",
                     "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4", "double": "f8",
}  # fmt: skip
TO_RAS = {
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
}  # fmt: skip
SPATIAL = ("domain", "space", "none", "???", "")
UNITS = {"mm": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "\u00b5m": 0.001}


def nrrd_stored(path, packed, vectors=False):
    """Where the voxels of an NRRD file are.

    Args:
        path: Regular file.
        packed: Whether it is compressed as a whole, which it must not be.
        vectors: Whether a voxel has several values, which then are the first axis of the array.

    Returns:
        `Stored`.

    Raises:
        UserError: If the header is damaged, or what it says cannot be.

    Reference:
        - https://teem.sourceforge.net/nrrd/format.html
    """
    not_packed(packed, path)
    fields, end = _fields(path)
    (rank,) = whole_numbers([fields.get("dimension", "")], path, "dimension")
    sizes = whole_numbers(fields.get("sizes", "").split(), path, "sizes")
    if not 1 <= rank <= 16 or len(sizes) != rank:
        raise UserError(f"{path}: dimension is {rank}, sizes has {len(sizes)} numbers; correct the header")
    kind = fields.get("type", "")
    if kind.lower() not in TYPES:
        raise UserError(f"{path}: voxels of an unknown type ({kind[:40]}); save it as integers or float")
    dtype = np.dtype(TYPES[kind.lower()]).newbyteorder(_byte_order(fields, path, TYPES[kind.lower()]))
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise UserError(f"{path}: its voxels are encoded as {encoding[:20] or 'nothing'}; save it as raw or gzip")
    packed = encoding != "raw"
    data = path if fields.get("datafile") is None else beside(path, fields["datafile"])
    held = regular_file(data)
    lines, skip = (
        whole_numbers([fields.get(name, "0")], path, name.replace("skip", " skip")) for name in ("lineskip", "byteskip")
    )
    begins = _behind_lines(path, data, end if data == path else 0, lines[0])
    skip = skip[0]
    if skip == -1 and not packed:  # the voxels are the end of the file
        check_claim(path, sizes, dtype, held, packed)
        begins, skip = held - int(np.prod(sizes)) * dtype.itemsize, 0
    if skip < 0:
        raise UserError(f"{path}: byte skip is {skip}; correct the header")
    spatial = _spatial_axes(fields, path, rank)
    shape = tuple(size for size, own in zip(sizes, spatial, strict=True) if own)
    if not vectors:
        one_value(int(np.prod([size for size, own in zip(sizes, spatial, strict=True) if not own], dtype=object)), path)
    elif all(spatial) or not all(spatial[1:]):
        raise UserError(
            f"{path}: expected the values of a voxel along its first axis, by its kinds; correct the header"
        )
    else:
        shape = tuple(sizes)
    return Stored(path, data, shape, dtype, _affine(fields, path, spatial), begins=begins, packed=packed, skip=skip)


def _fields(path):
    """Dict of the header's fields, their names without spaces, and the byte behind it."""
    with open(path, "rb") as file:
        head = file.read(LONGEST_HEADER)
    fields, place = {}, 0
    while place < len(head):
        end = head.find(b"\n", place)
        end = len(head) if end < 0 else end
        line = head[place:end].decode("utf-8", "replace").strip()
        first, place = place == 0, end + 1
        if not line:
            return fields, place
        if first or line.startswith("#") or ":=" in line:
            continue
        name, colon, value = line.partition(":")
        name = name.replace(" ", "").lower()
        if not colon or name in fields:
            what = "says it twice" if colon else "is no 'field: value'"
            raise UserError(f"{path}: a line of its header {what} ({line[:60]}); correct the header")
        fields[name] = value.strip()
        if name == "datafile" and fields[name].split()[:1] == ["LIST"]:
            beside(path, fields[name])
    if "datafile" not in fields:
        raise UserError(f"{path}: its header has no end (damaged or truncated); restore the file from its source")
    return fields, len(head)


def _byte_order(fields, path, kind):
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
    if order is None and not kind.endswith("1"):
        raise UserError(f"{path}: endian must be little or big ({fields.get('endian', '')[:20]}); correct the header")
    return order or "="


def _behind_lines(path, data, begins, lines):
    if lines < 0:
        raise UserError(f"{path}: line skip is {lines}; correct the header")
    with open(data, "rb") as file:
        file.seek(begins)
        for _ in range(lines):
            if not file.readline(LONGEST_HEADER):
                raise UserError(f"{path}: has fewer lines than line skip says ({lines}); correct the header")
        return file.tell()


def _spatial_axes(fields, path, rank):
    """For each axis whether it is one of space."""
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()] or [""] * rank
    directions = _directions(fields, path) or [""] * rank
    if len(kinds) != rank or len(directions) != rank:
        raise UserError(f"{path}: kinds or space directions are not {rank} as the axes; correct the header")
    return [kind in SPATIAL and direction != "none" for kind, direction in zip(kinds, directions, strict=True)]


def _directions(fields, path):
    text = fields.get("spacedirections")
    if text is None:
        return None
    if not re.fullmatch(r"(none|\([^()]*\))(\s+(none|\([^()]*\)))*", text):
        raise UserError(f"{path}: space directions are not understood ({text[:60]}); correct the header")
    return re.findall(r"none|\([^()]*\)", text)


def _affine(fields, path, spatial):
    rank = sum(spatial)
    space = fields.get("space", "").lower()
    directions = _directions(fields, path)
    if directions is None:
        note(f"{path}: its header does not say how it lies in space; voxels are taken to lie along left, back, up")
        spacings = _numbers(
            fields.get("spacings", " ".join("1" * len(spatial))).split(), path, "spacings", len(spatial)
        )
        steps = [1.0 if np.isnan(spacing) else spacing for spacing, own in zip(spacings, spatial, strict=True) if own]
        return affine_of_axes(np.diag(steps), _corner(fields, path, spatial, steps))
    if space not in TO_RAS:
        note(f"{path}: its space is {space[:40] or 'not named'}; taken to be left, posterior, superior, as by ITK")
    axes = [
        _numbers(direction.strip("()").split(","), path, "space directions", rank)
        for direction, own in zip(directions, spatial, strict=True)
        if own
    ]
    origin = fields.get("spaceorigin", "(" + ",".join("0" * rank) + ")")
    origin = _numbers(origin.strip("()").split(","), path, "space origin", rank)
    units = {unit.strip('" ') for unit in re.findall(r'"[^"]*"', fields.get("spaceunits", ""))} - {""}
    scale = UNITS.get(units.pop(), 1.0) if len(units) == 1 else 1.0
    if scale != 1.0:
        note(f"{path}: lengths are not in millimetres by its space units; turned to millimetres")
    return affine_of_axes(np.array(axes) * scale, np.array(origin) * scale, TO_RAS.get(space, (-1, -1, 1)))


def _corner(fields, path, spatial, steps):
    """Where the first voxel is by `axis mins`, the edge of its cell unless `centers` says node."""
    if "axismins" not in fields:
        return np.zeros(len(steps))
    mins = _numbers(fields["axismins"].split(), path, "axis mins", len(spatial))
    kinds = fields.get("centers", fields.get("centerings", "")).lower().split() or [""] * len(spatial)
    if len(kinds) != len(spatial):
        raise UserError(f"{path}: centers are not {len(spatial)} as the axes; correct the header")
    own = [(least, kind) for least, kind, here in zip(mins, kinds, spatial, strict=True) if here]
    return [least + (0 if kind == "node" else step / 2) for (least, kind), step in zip(own, steps, strict=True)]


def _numbers(words, path, field, count):
    if len(words) != count:
        raise UserError(
            f"{path}: {field} has {len(words)} numbers where the image has {count} axes; correct the header"
        )
    return real_numbers(words, path, field)
