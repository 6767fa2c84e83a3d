"""Pairs for tests of networks."""

import numpy as np


def pair(rng, *shape, batch=1, hyper=None):
    from scipy.ndimage import gaussian_filter

    images = [gaussian_filter(rng.random((batch, *shape)), (0, *[2] * len(shape))) for _ in range(2)]
    x = {
        name: ((image - image.min()) / np.ptp(image)).astype("float32")[..., None]
        for name, image in zip(("moving", "fixed"), images, strict=True)
    }
    if hyper is not None:
        x["hyper"] = np.array(hyper, "float32")
    return x
