"""The command line: which task, which config, and how it ends.

Nothing heavy is imported before a task is known: `--help` answers at once.
"""

import argparse
import os
import sys
import traceback

from app import signals
from app.errors import NO_ROOM, UserError, printable, shortened
from app.modules import imported
from app.notes import forget
from app.tasks import TASKS, config_class, find_task
from app.training.run_lock import release_folders

DONE, INTERNAL_ERROR, USER_INPUT = 0, 1, 2
LINE = 390  # letters of a printed problem


def build_parser(asked=None):
    """The argument parser, one sub-command per task.

    Args:
        asked: Name of the task whose own options are needed; None for all.

    Returns:
        `argparse.ArgumentParser`.
    """
    parser = argparse.ArgumentParser(
        prog="python main.py",
        description="KerasMorph: medical images registered, segmented and classified.",
        epilog="'python main.py TASK --help' shows the options of a task; configs are in configs/TASK/.",
    )
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    for name in TASKS:
        task = find_task(name)
        sub = tasks.add_parser(name, help=task.line, description=task.line)
        if task.config is None or asked not in (None, name):
            continue
        _add_options(sub, task)
    return parser


def _add_options(parser, task):
    from app.tasks.options import OPTIONS

    if task.actions:
        parser.add_argument(
            "action", nargs="?", default=next(iter(task.actions)), choices=task.actions,
            help="; ".join(task.actions.values()),
        )  # fmt: skip
    for option in ("config", *task.options):
        words, settings = OPTIONS[option]
        parser.add_argument(*words, **settings)
    parser.add_argument("--keys", action="store_true", help="print all config keys with defaults and meanings")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value of the config, e.g. --set training.epochs=5; may be repeated"
        + ("" if task.needs_file else "; enough without --config"),
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything and print what would be done (for a training: size, memory, time); write nothing",
    )


def main(arguments=None):
    """Run one task.

    Args:
        arguments: List of words; the process' own by default.

    Returns:
        Exit code: 0 done, 2 something in the user's input, 1 an internal error.
    """
    words = sys.argv[1:] if arguments is None else arguments
    asked = next((word for word in words if word in TASKS), "")
    parser = build_parser(asked)
    options = parser.parse_args(words)
    task, only_prints = find_task(options.task), options.task == "doctor" or options.keys
    if not only_prints and options.config is None and task.needs_file:
        parser.error(f"{options.task}: --config FILE is needed; configs/{options.task}/ has some")
    forget()
    # TensorFlow's own lines about the machine bury ours; its errors still raise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return _run(task, options)
    except UserError as error:
        return _say(error.problems)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it at its end, and would fail again
        if only_prints:  # `| head` has what it wanted
            return DONE
        return _say(["standard output was closed (for instance by '| head'); rerun the command without the pipe"])
    except OSError as error:
        return _say([_no_room(error, options)]) if error.errno in NO_ROOM else _internal_error()
    except KeyboardInterrupt:
        return _say([signals.LINE])
    except Exception:
        return _internal_error()
    finally:
        release_folders()


def _run(task, options):
    if task.config is not None and options.keys:
        return _print_keys(options.task)
    run = imported(task.run)
    if task.config is None:
        run()
        return DONE
    from app.config import load_config

    config = load_config(imported(task.config), options.config, options.set)
    common = ("task", "config", "keys", "set", "dry_run")
    run(config, options.dry_run, **{key: value for key, value in vars(options).items() if key not in common})
    return DONE


def _no_room(error, options):
    where = error.filename or "the output folder"
    other = "--to FOLDER" if getattr(options, "to", None) else "--set output=FOLDER"
    return (
        f"{where}: cannot be written ({error.strerror}); free space or choose another folder with {other}, then run "
        "the same command again"
    )


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
