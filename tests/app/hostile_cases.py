"""Images of strangers, as several tests make them."""

import io
import zipfile

import numpy as np
import pytest

from app.data.read import read_volume
from app.errors import UserError
from tests.app.image_files import ARRAY

SIZE = ARRAY.size * ARRAY.itemsize


TINY = bytes(SIZE)


def refused(path, *words):
    with pytest.raises(UserError) as error:
        read_volume(path)
    (line,) = error.value.problems
    assert "\n" not in line
    assert len(line) - len(str(path)) < 300
    assert path.name in line
    for word in words:
        assert word in line, line
    assert "this is a fault" not in line
    return line


def put(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def npy(shape, dtype="<i2", body=TINY, order=False):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": order, "shape": shape})
    return file.getvalue() + body


def zipped(name="vol.npy", content=b"", method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()
