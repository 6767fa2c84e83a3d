"""Files that several tests of images put on the disk."""

import pytest

from app.data.read import read_volume
from app.errors import UserError


def put(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def refused(path, words):
    with pytest.raises(UserError) as error:
        read_volume(path)
    assert words in str(error.value), str(error.value)
