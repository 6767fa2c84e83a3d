"""The systems: one folder each, known to the rest of the program by this table alone."""

import importlib

from app.modules import imported

# Name of the task -> package of the system, whose `ABOUT` says what the command line must know.
SYSTEMS = {
    "hypermorph": "app.systems.registration",
    "fov": "app.systems.fov",
    "kidney": "app.systems.kidney",
    "template": "app.systems.template",
}


def find_about(name):
    """A system at first sight; nothing heavy is imported.

    Args:
        name: Key of `SYSTEMS`.

    Returns:
        `About`.
    """
    return importlib.import_module(SYSTEMS[name]).ABOUT


def find_system(name):
    """A system; Keras is not imported.

    Args:
        name: Key of `SYSTEMS`.

    Returns:
        `System`.
    """
    return imported(find_about(name).system)(name, find_about(name))
