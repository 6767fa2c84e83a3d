"""Models of strangers, as several tests make them."""

import h5py
import numpy as np

CONTRACT = {
    "low_percentile": 0.5, "high_percentile": 99.5, "shape": [16, 16], "spacing_mm": [1.0, 1.0], "hyper": {},
    "best": {}, "structures": {}, "simulated": False, "background": "excluded",
}  # fmt: skip


def other_shape(file, name):
    del file[name]
    file[name] = np.zeros((3, 3), "float32")


def elsewhere(file, name):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "float32", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def claims(file, name):
    del file[name]
    file.create_dataset(name, (30000, 30000, 30), "float32", chunks=(1000, 1000, 30), fillvalue=1)


def packed(file, name):
    content = file[name][()]
    del file[name]
    file.create_dataset(name, data=content, compression="gzip")


def linked(link):
    def change(file, name):
        del file[name]
        file[name] = link if link is not None else h5py.SoftLink(f"/{name}")

    return change


def words(file, name):
    del file[name]
    file.create_dataset(name, (2,), h5py.string_dtype())


def spoilt(value):
    def change(file, name):
        file[name][...] = value

    return change


WEIGHTS = {
    "not numbers": (spoilt(np.nan), "not finite"),
    "infinite": (spoilt(-np.inf), "not finite"),
    "another file's bytes": (elsewhere, "lie in another file"),
    "an external link": (linked(h5py.ExternalLink("/tmp/x.h5", "/a")), "a link"),
    "a link to itself": (linked(None), "a link"),
    "a dangling link": (linked(h5py.SoftLink("/nowhere")), "a link"),
    "a claim of 100 GB in pieces": (claims, "stored in pieces"),
    "compressed": (packed, "stored in pieces"),
    "words": (words, "where numbers are expected"),
    "another shape": (other_shape, "cannot be loaded"),
}
