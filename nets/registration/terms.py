"""Further terms of the registration loss, open to new ones; Keras is not needed to list them."""

import importlib

# Name -> `module:function` of the velocity, `(batch, i, j[, k], rank)` in its own voxels, to `(batch,)`. A term is
# weighted by a number, or by a hyper-parameter of its own name.
TERMS = {"bending": "nets.losses.bending:bending_energy"}


def term(name):
    """A term's function.

    Args:
        name: Key of `TERMS`.

    Returns:
        Function of a velocity.
    """
    module, _, function = TERMS[name].partition(":")
    return getattr(importlib.import_module(module), function)
