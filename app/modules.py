"""Classes and functions that are imported when they are first needed: `package.module:name`."""

import importlib


def imported(reference):
    """What a reference names.

    Args:
        reference: String `module:name`.

    Returns:
        The class, function or value of that name.
    """
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
