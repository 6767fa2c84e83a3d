"""HDF5 files of strangers: what they hold is looked at before any of it is read."""

import numpy as np

from app.errors import UserError
from app.memory import free_bytes

MOST_ITEMS, MOST_LEVELS = 20_000, 32


def datasets(file, name):
    """The datasets of a file, each one that holds what it claims.

    Args:
        file: Open `h5py.File`.
        name: Of the file, for messages.

    Returns:
        Dict from path within the file to `h5py.Dataset`.

    Raises:
        UserError: If a part of it is a link or lies outside of the file, is no array of numbers, claims more than the
            file holds or memory takes, or if groups lie within themselves.
    """
    import h5py

    kept, claimed, seen = {}, 0, 0
    waiting = [("", file, (file.id,))]
    while waiting:
        where, group, above = waiting.pop()
        if len(above) > MOST_LEVELS:
            raise UserError(f"{name}: {where[:60]}: groups within groups without end; restore the file from its source")
        for key in _keys(group, f"{name}: {where[:80]}"):
            seen += 1  # each way to an item: a group that is linked twice on each level is there a million times
            if seen > MOST_ITEMS:
                raise UserError(f"{name}: more than {MOST_ITEMS} parts; restore the file from its source")
            place = f"{where}/{key}" if where else key
            item = _own(group, key, f"{name}: {place[:80]}")
            if isinstance(item, h5py.Dataset):
                claimed += _claim(item, f"{name}: {place[:80]}")
                kept[place] = item
            elif not isinstance(item, h5py.Group):
                raise UserError(f"{name}: {place[:80]}: neither numbers nor a group; restore the file from its source")
            elif any(item.id == address for address in above):
                raise UserError(f"{name}: {place[:80]}: a group that holds itself; restore the file from its source")
            else:
                waiting.append((place, item, (*above, item.id)))
    if claimed > min(free_bytes(), file.id.get_filesize() + 64 * len(kept)):
        raise UserError(f"{name}: claims {claimed / 2**30:.1f} GiB of weights, more than the file or the memory holds")
    return kept


def read_finite(dataset, name):
    """An array whose numbers are finite.

    Args:
        dataset: Of `datasets`.
        name: Of the file, for messages.

    Returns:
        Array.

    Raises:
        UserError: If a number is NaN or infinite, or it cannot be read.
    """
    try:
        array = dataset[()]
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{name}: {dataset.name}: cannot be read ({' '.join(str(error).split())[:100]})") from None
    if not np.all(np.isfinite(array)):
        raise UserError(f"{name}: {dataset.name}: weights that are not finite; train again, or restore the file")
    return array


def _keys(group, where):
    try:
        return list(group)
    except (UnicodeDecodeError, OSError, RuntimeError):
        raise UserError(f"{where}: names of its parts cannot be read; the file is damaged") from None


def _own(group, key, where):
    """An item that lies in this very file."""
    import h5py

    try:
        hard = isinstance(group.get(key, getlink=True), h5py.HardLink)
        item = group[key] if hard else None
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{where}: cannot be read ({reason}); the file is damaged") from None
    if not hard:
        raise UserError(f"{where}: a link, where weights are expected in the file itself; save it without links")
    return item


def _claim(dataset, where):
    """Bytes that a dataset takes once it is read."""
    if dataset.external or dataset.is_virtual:
        raise UserError(f"{where}: its numbers lie in another file; save it with them")
    try:
        kind = dataset.dtype
    except TypeError as error:  # HDF5 has types that NumPy has not
        raise UserError(f"{where}: {str(error)[:60]}, where numbers are expected") from None
    if kind.kind not in "fiub" or dataset.shape is None:
        raise UserError(f"{where}: of type {str(kind)[:40]}, where numbers are expected")
    if dataset.chunks:  # Keras writes none; unpacked, a piece may be larger than it says
        raise UserError(f"{where}: stored in pieces, perhaps compressed; save it as Keras does")
    claimed = int(np.prod(dataset.shape or (), dtype=object)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if claimed > max(stored, 64):
        raise UserError(f"{where}: claims {claimed} bytes where the file holds {stored}; restore it from its source")
    return claimed
