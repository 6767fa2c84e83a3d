"""The folder that a run leaves: config, versions, log, checkpoints, metrics, figures, report."""

import csv
import io
import logging
from pathlib import Path

from app.config import config_text, load_config
from app.errors import UserError
from app.files import user_text, write_csv, write_json, write_text
from app.notes import keep_notes
from app.processor import environment
from app.training.run_lock import lock_folder
from app.yaml_text import LARGEST, read_yaml


class RunFolder:
    """One run's files.

    Args:
        path: The folder.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.checkpoint = self.checkpoints / "last.keras"
        self.figures = self.path / "figures"
        self.tensorboard = self.path / "tensorboard"
        self.model = self.path / "model.keras"
        self.contract = self.path / "model.json"
        self.history = self.path / "history.csv"
        self.config = self.path / "config.yaml"

    def check(self, config, free=()):
        """See that the folder is new, or holds this very run.

        Args:
            config: Resolved config of the task.
            free: Dotted keys of the config that may differ from the run's before (they
                do not touch its training).

        Raises:
            UserError: If the folder holds a run with another config.
        """
        before = self.config
        if before.is_file() and _without(_as_read_now(before, config), free) != _without(config_text(config), free):
            raise UserError(
                f"{self.path}: holds a run with another config ({before}); choose another folder with "
                "--set output=FOLDER, or delete this one"
            )

    def open(self, config, lock="run.lock"):
        """Begin the run, or take it up again: the folder is held, config and versions are written, the log begins.

        Args:
            config: Resolved config of the task.
            lock: Name of the lock's file: commands of different names may share a folder.

        Raises:
            UserError: If another command is at work in the folder.
            OSError: If the folder cannot be written.
        """
        lock_folder(self.path, lock)
        for folder in (self.path, self.checkpoints, self.figures):
            for litter in folder.glob(".part-*"):  # of a run that was killed while writing
                litter.unlink()
        write_text(self.config, config_text(config))
        write_json(self.path / "environment.json", {**environment(), "seed": config.seed})
        self._log_to_file()

    def _log_to_file(self):
        log = logging.getLogger("kerasmorph")
        log.setLevel(logging.INFO)
        log.propagate = False  # libraries give the root logger a handler of its own
        for handler in list(log.handlers):
            log.removeHandler(handler)
            handler.close()
        form = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")
        file = logging.FileHandler(self.path / "log.txt")
        for handler in (file, _Print()):
            handler.setFormatter(form)
            log.addHandler(handler)
        keep_notes(lambda line: file.handle(log.makeRecord(log.name, logging.INFO, "", 0, line, (), None)))

    def read_history(self):
        """Rows of the training history, empty before the first epoch.

        Raises:
            UserError: If it is no table of numbers with a column `epoch`.
        """
        if not self.history.is_file():
            return []
        remedy = "restore it, or train in another folder"
        text = user_text(self.history, LARGEST, remedy)
        rows = list(csv.DictReader(io.StringIO(text)))
        for line, row in enumerate(rows, 2):
            if None in row or not row.get("epoch"):
                raise UserError(f"{self.history}: line {line} has no epoch, or more values than columns; {remedy}")
        try:
            return [{key: _number(key, value) for key, value in row.items()} for row in rows]
        except ValueError as error:
            raise UserError(f"{self.history}: no table of numbers ({str(error)[:100]}); {remedy}") from None

    def write_history(self, rows):
        """Write the training history, one dict per epoch."""
        keys = list(dict.fromkeys(key for row in rows for key in row))
        write_csv(self.history, [{key: row.get(key) for key in keys} for row in rows])


class _Print(logging.Handler):
    """To whatever standard output is at the time: a progress bar moves aside for it."""

    def emit(self, record):
        print(self.format(record), flush=True)


def log(message):
    """Print a line and keep it in the run's log.

    Args:
        message: The line.
    """
    logging.getLogger("kerasmorph").info(message)


def _number(key, value):
    if not value:
        return None
    return int(value) if key == "epoch" else float(value)


def _as_read_now(file, config):
    """A run's config with the defaults and absolute paths that it gets today."""
    try:
        return config_text(load_config(type(config), file))
    except UserError:
        return user_text(file, LARGEST, "delete it, or choose another folder with --set output=FOLDER")


def _without(text, free):
    try:
        values = read_yaml(text, "config")
    except UserError:
        return text
    for key in free:
        *parents, last = key.split(".")
        section = values
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(last, None)
    return values
