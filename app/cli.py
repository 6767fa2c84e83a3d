"""The command line: which task, which config, and how it ends.

Nothing heavy is imported before a task is known: `--help` answers at once.
"""

import argparse
import importlib
import os
import sys
import traceback

from app import signals
from app.errors import NO_ROOM, UserError, printable, shortened
from app.notes import forget
from app.tasks import TASKS, WITHOUT_FILE, config_class
from app.training.run_lock import release_folders

DONE, INTERNAL_ERROR, USER_INPUT = 0, 1, 2
LINE = 390  # letters of a printed problem


def build_parser():
    """The argument parser, one sub-command a task.

    Returns:
        `argparse.ArgumentParser`.
    """
    parser = argparse.ArgumentParser(
        prog="python main.py",
        description="KerasMorph: medical images registered, segmented and classified.",
        epilog="'python main.py TASK --help' shows the options of a task; configs are in configs/TASK/.",
    )
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    for name, (_, _, line) in TASKS.items():
        task = tasks.add_parser(name, help=line, description=line)
        if name == "doctor":
            continue
        if name == "tune":
            _add_tune(task)
        if name == "fov":
            _add_fov(task)
        if name == "kidney":
            _add_kidney(task)
        if name == "template":
            _add_template(task)
        task.add_argument(
            "--config",
            type=_path,
            metavar="FILE",
            help="YAML file of the task" + ("; optional, --set can give all keys" if name in WITHOUT_FILE else ""),
        )
        task.add_argument("--keys", action="store_true", help="print all config keys with defaults and meanings")
        task.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="replace a value of the config, e.g. --set training.epochs=5; may be repeated",
        )
        task.add_argument(
            "--dry-run",
            action="store_true",
            help="check everything and print what would be done (for a training: size, memory, time); write nothing",
        )
    return parser


def _add_tune(task):
    _add_action(
        task,
        ("run", "bounds", "status", "best", "chief", "worker"),
        "run (default) the search; print bounds of random search in this space; show the status; print the best "
        "config so far; run as chief or worker of a search on several machines that share the output folder",
        default="run",
    )
    task.add_argument("--workers", type=int, default=1, metavar="N", help="trials at once on this machine")
    task.add_argument("--address", metavar="HOST:PORT", help="of the chief, for chief and worker")
    task.add_argument("--name", help="unique name of this worker")


def _add_action(task, choices, text, default="train"):
    task.add_argument("action", nargs="?", default=default, choices=choices, help=text)


def _add_fov(task):
    _add_action(
        task,
        ("train", "evaluate", "predict", "export"),
        "train (default) and report; evaluate the trained model on the config's test volumes; predict the regions "
        "of files, folders or DICOM series; export a SavedModel",
    )
    _add_files(task)


def _add_kidney(task):
    _add_action(
        task,
        ("train", "transfer", "evaluate", "predict", "export"),
        "train (default) from nothing and report; transfer a trained network to another population; evaluate on "
        "the config's test volumes; predict the masks of files, folders or DICOM series; export a SavedModel",
    )
    _add_files(task)


def _add_template(task):
    _add_action(
        task,
        ("build", "train", "evaluate", "predict", "export"),
        "build a template; train (default) and report; evaluate on the config's test volumes; predict files, "
        "folders, DICOM; export a SavedModel",
    )
    _add_files(task)
    task.add_argument(
        "--points",
        type=_path,
        metavar="FILE",
        help="points inside or outside the mask: CSV x,y,z,inside[,label] (RAS mm, inside 1 or 0), or 3D Slicer's",
    )


def _add_files(task):
    task.add_argument(
        "--input", dest="inputs", type=_path, nargs="+", default=[], metavar="PATH", help="what to predict"
    )
    task.add_argument(
        "--to", type=_path, metavar="FOLDER", help="folder for the results; by default a folder within the run folder"
    )


def _path(word):
    from app.config import user_path

    try:
        return user_path(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments=None):
    """Run one task.

    Args:
        arguments: List of words; the process' own by default.

    Returns:
        Exit code: 0 done, 2 something in the user's input, 1 an internal error.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    only_prints = options.task == "doctor" or options.keys
    if not only_prints and options.config is None and options.task not in WITHOUT_FILE:
        parser.error(f"{options.task}: --config FILE is needed; configs/{options.task}/ has some")
    forget()
    # TensorFlow's own lines about the machine bury ours; its errors still raise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if options.task != "doctor" and options.keys:
            return _print_keys(options.task)
        task = importlib.import_module(TASKS[options.task][0])
        if options.task == "doctor":
            task.run()
            return DONE
        from app.config import load_config

        config = load_config(config_class(options.task), options.config, options.set)
        common = ("task", "config", "keys", "set", "dry_run")
        task.run(config, options.dry_run, **{key: value for key, value in vars(options).items() if key not in common})
        return DONE
    except UserError as error:
        return _say(error.problems)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it at its end, and would fail again
        if only_prints:  # `| head` has what it wanted
            return DONE
        return _say(["standard output was closed (for instance by '| head'); rerun the command without the pipe"])
    except OSError as error:
        if error.errno in NO_ROOM:
            where = error.filename or "the output folder"
            return _say(
                [
                    f"{where}: cannot be written ({error.strerror}); free space or choose another folder with "
                    f"{'--to FOLDER' if getattr(options, 'to', None) else '--set output=FOLDER'}, then run the same "
                    "command again"
                ]
            )
        return _internal_error()
    except KeyboardInterrupt:
        return _say([signals.LINE])
    except Exception:
        return _internal_error()
    finally:
        release_folders()


def _print_keys(task):
    from app.keys import keys_text

    print(keys_text(config_class(task)))
    if task == "tune":
        print("and the keys of the task that is tuned: python main.py TASK --keys")
    return DONE


def _say(problems):
    for problem in problems:
        print(f"error: {shortened(printable(problem), LINE)}", file=sys.stderr)
    return USER_INPUT


def _internal_error():
    traceback.print_exc()
    print(
        "error: internal error of KerasMorph, not a problem of your input; please report the lines above "
        "together with the output of 'python main.py doctor'",
        file=sys.stderr,
    )
    return INTERNAL_ERROR
