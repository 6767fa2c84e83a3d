"""Options of the command line that only some tasks take."""

import argparse

from app.config import user_path


def _path(word):
    try:
        return user_path(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# Name of the argument of a task's `run` -> words and settings of `argparse`.
OPTIONS = {
    "config": (("--config",), {"type": _path, "metavar": "FILE", "help": "YAML file of the task"}),
    "inputs": (
        ("--input",),
        {"dest": "inputs", "type": _path, "nargs": "+", "default": [], "metavar": "PATH", "help": "what to predict"},
    ),
    "to": (
        ("--to",),
        {
            "type": _path,
            "metavar": "FOLDER",
            "help": "folder for the results; by default a folder within the run folder",
        },
    ),
    "points": (
        ("--points",),
        {
            "type": _path,
            "metavar": "FILE",
            "help": "points inside or outside the mask: CSV x,y,z,inside[,label] (RAS mm, inside 1 or 0), or 3D "
            "Slicer's",
        },
    ),
    "workers": (
        ("--workers",),
        {"type": int, "default": 1, "metavar": "N", "help": "trials at once on this machine"},
    ),
    "address": (("--address",), {"metavar": "HOST:PORT", "help": "of the chief, for chief and worker"}),
    "name": (("--name",), {"help": "unique name of this worker"}),
}
