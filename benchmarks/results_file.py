"""Benchmark results: small JSON files with machine and date, written row by row.

An interrupted benchmark goes on where it stopped: a row that is there is not measured again. Several
processes may write different rows of one file.
"""

import datetime
import fcntl
import json
import platform
import sys
from pathlib import Path

from app.files import write_json
from app.processor import cores, processor

RESULTS = Path(__file__).parent / "results"


class ResultsFile:
    """Rows of measurements under one name.

    Args:
        name: File name without `.json`.
        settings: Dict of all that the rows depend on; a file with other settings is refused.
        folder: Where the file is.
    """

    def __init__(self, name, settings, folder=RESULTS):
        self.path = Path(folder) / f"{name}.json"
        self.content = {"settings": settings, "machine": machine(), "rows": {}}
        if self.path.is_file():
            before = json.loads(self.path.read_text(encoding="utf-8"))
            if before["settings"] != json.loads(json.dumps(settings)):
                raise SystemExit(f"{self.path} was measured with other settings; delete it to measure afresh")
            self.content = before

    @property
    def rows(self):
        """Dict from row name to what was measured."""
        return self.content["rows"]

    def measure(self, name, function):
        """Measure a row, unless it is there.

        Args:
            name: Row name.
            function: `() -> dict`.

        Returns:
            The row.
        """
        if name not in self.rows:
            print(f"measuring {name} ...", flush=True)
            date = datetime.date.today().isoformat()
            row = {**function(), **processor(), **accelerator(), "date": date}
            with open(self.path.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if self.path.is_file():
                    self.content = json.loads(self.path.read_text(encoding="utf-8"))
                self.rows[name] = row
                self.write()
        return self.rows[name]

    def write(self, **summary):
        """Write the file, with a summary of the rows if there is one."""
        if summary:
            self.content["summary"] = summary
        write_json(self.path, self.content)


def accelerator():
    """The GPU that Keras computes on, where there is one.

    Returns:
        Dict: `accelerator` and `backend`, or empty.
    """
    keras = sys.modules.get("keras")
    if keras is None or keras.backend.backend() != "jax":
        return {}
    import jax

    device = jax.devices()[0]
    return {} if device.platform == "cpu" else {"accelerator": device.device_kind, "backend": "jax"}


def machine():
    """What the figures were measured on.

    Returns:
        Dict of processor, vector width, cores and Python.
    """
    return {**processor(), "cores": cores(), "python": platform.python_version()}
