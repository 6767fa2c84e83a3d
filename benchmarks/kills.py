"""Commands stopped at random moments, and run again: does the second run end as one that was never stopped?

    python -m benchmarks.kills                    20 stops of each kind for each command: two hours on 2 cores
    python -m benchmarks.kills --count 5          the first five of each

Four commands (training, search, prediction, export) on small simulated brains are each stopped by SIGKILL, by SIGTERM,
and by a file system of random size that they fill (a tmpfs, which takes root). Moments and sizes are drawn with a seed.
A row says how the stop ended, which files were broken then, whether a process or a lock stayed behind, and in what
the second run's results differ from those of an uninterrupted run. The search runs on the one worker it is made of.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import yaml

from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
SEED = 21
KINDS = ("SIGKILL", "SIGTERM", "full disk")
COMMANDS = ("training", "search", "prediction", "export")
WITHIN = 1e-6  # weights and voxels: threads add up in another order
NETWORK = {"features": "images", "encoder": [4, 8], "decoder": [8, 4], "final": [4], "units": 4, "depth": 1}
DATA = {"split": {"train": 4, "validate": 2, "test": 2}, "pairs": 2}
GROWING = ("log.txt", "events.out.tfevents")  # a line or a record at a time, by design
PATIENCE = 10.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="stops of each kind for each command")
    options = parser.parse_args()
    results = ResultsFile("kills", {"seed": SEED})
    with tempfile.TemporaryDirectory() as name:
        room = Room(Path(name))
        for number in range(options.count):
            for command in COMMANDS:
                for kind in KINDS:
                    results.measure(
                        f"{command}, {kind} {number}", lambda c=command, k=kind, n=number: room.stop(c, k, n)
                    )
                    write_tables("kills", tables(results.content))
    for name, row in results.rows.items():
        if faults(row):
            print(f"{name}: {'; '.join(faults(row))}")


class Room:
    """A folder with a cohort, a trained model, and each command's uninterrupted result.

    Args:
        path: Empty folder.
    """

    def __init__(self, path):
        self.path = path
        self.disk = path / "disk"
        self.whole = {}
        self.cohort = path / "phantoms" / "cohort.csv"

    def prepare(self, command):
        """Run a command without a stop, once.

        Args:
            command: Name of `COMMANDS`.

        Returns:
            Dict: the result's folder, its bytes, the seconds it took.
        """
        if not self.cohort.exists():
            from app.data.phantoms.brains import write_brains
            from app.data.phantoms.config import BrainsConfig

            write_brains(self.cohort.parent, BrainsConfig(subjects=8, shape=[24, 24, 24], deformation_vox=0.8))
        if command not in self.whole:
            if command in ("prediction", "export"):
                self.prepare("training")
            output = self.path / "whole" / command
            began = time.monotonic()
            done = subprocess.run(self.words(command, output), cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
            seconds = time.monotonic() - began
            size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
            self.whole[command] = {"folder": output, "bytes": size, "seconds": seconds}
        return self.whole[command]

    def words(self, command, output):
        """A command's line.

        Args:
            command: Name of `COMMANDS`.
            output: Its result's folder.

        Returns:
            List of words.
        """
        model = str(self.path / "whole" / "training")
        images = [str(self.cohort.parent / f"image/phantom-{number:03d}.nii.gz") for number in (0, 1)]
        training = {"epochs": 4, "steps": 10, "validate_every": 2, "validate_pairs": 1}
        data = {"cohort": str(self.cohort), **DATA}
        hypermorph = {"task": "hypermorph", "data": data, "network": NETWORK, "training": training}
        config = {
            "training": hypermorph | {"evaluation": {"values": 3}},
            "search": hypermorph | {"search": SEARCH, "training": {**training, "epochs": 2}},
            "prediction": {"task": "register", "model": model, "moving": images[0], "fixed": images[1]},
            "export": {"task": "export", "model": model},
        }[command] | {"output": str(output)}
        task = "tune" if command == "search" else config["task"]
        path = self.path / f"{command}-{output.parent.name}.yaml"
        path.write_text(yaml.safe_dump(config))
        return [sys.executable, "main.py", task, "--config", str(path)]

    def stop(self, command, kind, number):
        """Stop a command, look at what it left, run it again, compare.

        Args:
            command: Name of `COMMANDS`.
            kind: Name of `KINDS`.
            number: Which of its stops.

        Returns:
            Dict: the row.
        """
        whole = self.prepare(command)
        shutil.rmtree(self.disk, ignore_errors=True)
        self.disk.mkdir()
        draw = random.Random(f"{SEED} {command} {kind} {number}")
        if kind == "full disk":
            return self._fill(command, whole, draw.randrange(16, whole["bytes"] // 1024))
        moment = draw.uniform(0, whole["seconds"])
        row = self._interrupt(command, getattr(signal, kind), moment)
        return {"seconds": round(moment, 2)} | row | self._again(command, whole)

    def _interrupt(self, command, number, moment):
        output = self.disk / command
        process = subprocess.Popen(
            self.words(command, output), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        until = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        began = time.monotonic()
        process.wait()
        took = time.monotonic() - began
        row = {"exit": process.returncode, "ended_before": process.returncode == 0, "seconds_to_end": round(took, 2)}
        row["left_running"] = left_running(self.path)
        row["said"] = process.stderr.read().decode().strip()[-300:]
        return row | self._state(output, locks=number == signal.SIGTERM)

    def _fill(self, command, whole, kibibytes):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(self.disk)], check=True)
        try:
            output = self.disk / command
            done = subprocess.run(self.words(command, output), cwd=ROOT, capture_output=True, text=True)
            row = {"kibibytes": kibibytes, "exit": done.returncode, "ended_before": done.returncode == 0}
            row |= {"left_running": left_running(self.path), "said": done.stderr.strip()[-300:]}
            row |= self._state(output, locks=True)
            subprocess.run(["mount", "-o", "remount,size=1g", str(self.disk)], check=True)
            return row | self._again(command, whole)
        finally:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=True)

    def _state(self, output, locks):
        kept = sorted(str(path.relative_to(output)) for path in output.rglob("*.lock")) if locks else []
        return {"broken": broken_files(output), "locks": kept}

    def _again(self, command, whole):
        output = self.disk / command
        done = subprocess.run(self.words(command, output), cwd=ROOT, capture_output=True, text=True)
        row = {"second_exit": done.returncode, "second_locks": [str(p) for p in output.rglob("*.lock")]}
        if done.returncode:
            return row | {"second_said": (done.stdout + done.stderr)[-600:], "differs": ["it did not end"]}
        differs = broken_files(output) + DIFFERENCES[command](output, whole["folder"])
        litter = [str(path.relative_to(output)) for path in output.rglob(".part-*")]
        return row | {"differs": differs, "litter": litter}


SEARCH = {
    "method": "bayesian",
    "trials": 3,
    "space": {
        "training.learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"},
        "network.units": {"low": 2, "high": 8},
    },
}


def left_running(folder):
    """Processes that name a folder and do not end within ten seconds.

    Args:
        folder: What their command lines are searched for.

    Returns:
        List of command lines.
    """
    until = time.monotonic() + PATIENCE
    while True:
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            if str(folder) in words and path.parent.name != str(os.getpid()):
                lines.append(words[:200])
        if not lines or time.monotonic() > until:
            return lines
        time.sleep(0.2)


def broken_files(folder):
    """Files that bear their final name and cannot be read.

    Args:
        folder: A result.

    Returns:
        List of paths within it, with the reason.
    """
    broken = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.name.startswith(GROWING) or path.suffix == ".lock":
            continue
        try:
            read_whole(path)
        except Exception as error:  # whatever a reader says of half a file
            broken.append(f"{path.relative_to(folder)}: {type(error).__name__}")
    return broken


def read_whole(path):
    """Read a file to its end.

    Args:
        path: File.

    Raises:
        Exception: What the reader of its format raises, or ValueError, if it is not whole.
    """
    name = path.name
    if not path.stat().st_size and path.suffix not in (".txt",):
        raise ValueError("empty")
    if name.endswith(".json"):
        json.loads(path.read_text(encoding="utf-8"))
    elif name.endswith((".yaml", ".yml")):
        yaml.safe_load(path.read_text(encoding="utf-8"))
    elif name.endswith(".csv"):
        with open(path, newline="") as file:
            rows = list(csv.reader(file))
        if len({len(row) for row in rows}) > 1 or not path.read_bytes().endswith(b"\n"):
            raise ValueError("rows of several lengths")
    elif name.endswith((".keras", ".npz")):
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                raise ValueError("a damaged member")
    elif name.endswith(".h5"):
        import h5py

        h5py.File(path, "r").close()
    elif name.endswith((".nii.gz", ".nii")):
        import nibabel

        np.asarray(nibabel.load(path).dataobj)
    elif name.endswith(".png"):
        from PIL import Image

        Image.open(path).load()
    elif name.endswith(".html") and "</html>" not in path.read_text(encoding="utf-8")[-200:]:
        raise ValueError("no end")


def training_differs(ours, theirs):
    """In what a training differs from an uninterrupted training.

    Args:
        ours: Its folder.
        theirs: The other's folder.

    Returns:
        List of names.
    """
    import h5py

    def weights(folder):
        with zipfile.ZipFile(folder / "model.keras") as archive:
            archive.extract("model.weights.h5", folder.parent / "unpacked")
        arrays = {}
        with h5py.File(folder.parent / "unpacked" / "model.weights.h5") as file:
            file.visititems(lambda name, item: arrays.update({name: item[()]}) if hasattr(item, "shape") else None)
        return arrays

    mine, other = weights(ours), weights(theirs)
    differs = [
        f"weights {name}" for name in mine if name not in other or np.abs(mine[name] - other[name]).max() > WITHIN
    ]
    differs += ["number of weights"] if len(mine) != len(other) else []
    for name in ("history.csv", "metrics.csv", "split.csv"):
        differs += rows_differ(ours / name, theirs / name)
    return differs + names_differ(ours, theirs)


def search_differs(ours, theirs):
    """In what a search differs from an uninterrupted search: trials, order, values, best; as `training_differs`."""
    best = [yaml.safe_load((folder / "best.yaml").read_text(encoding="utf-8")) for folder in (ours, theirs)]
    for config in best:
        config.pop("output")
    differs = [] if best[0] == best[1] else ["best.yaml"]
    return differs + rows_differ(ours / "results.csv", theirs / "results.csv")


def prediction_differs(ours, theirs):
    """In what a registration differs from an uninterrupted one: every image's voxels; as `training_differs`."""
    import nibabel

    differs = names_differ(ours, theirs)
    for path in theirs.rglob("*.nii.gz"):
        arrays = [np.asarray(nibabel.load(file).dataobj) for file in (ours / path.relative_to(theirs), path)]
        differs += [] if np.abs(arrays[0] - arrays[1]).max() <= WITHIN * np.abs(arrays[1]).max() else [path.name]
    return differs


def export_differs(ours, theirs):
    """In what an export differs from an uninterrupted one: its versions, files, variables; as `training_differs`."""
    import tensorflow as tf

    # A command that had done its work when it was stopped has written a version, and the second run the next.
    ours = max((path for path in ours.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    theirs = theirs / "1"
    differs = names_differ(ours, theirs)
    for path in theirs.rglob("variables.index"):
        prefixes = [str(folder / path.relative_to(theirs).with_suffix("")) for folder in (ours, theirs)]
        mine, other = (variables(tf.train.load_checkpoint(prefix)) for prefix in prefixes)
        differs += [] if mine == other else ["variables"]
    return differs


def variables(checkpoint):
    """Bytes of a checkpoint's variables, sorted: TensorFlow numbers them in another order each time.

    Args:
        checkpoint: Of `tf.train.load_checkpoint`.

    Returns:
        List of bytes.
    """
    names = set(checkpoint.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    return sorted(np.asarray(checkpoint.get_tensor(name)).tobytes() for name in names)


DIFFERENCES = dict(zip(COMMANDS, (training_differs, search_differs, prediction_differs, export_differs), strict=True))


def names_differ(ours, theirs):
    """Which files a folder lacks, or has beyond another's.

    Args:
        ours: A folder.
        theirs: The other folder.

    Returns:
        List of names.
    """

    def names(folder):
        files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {str(path) for path in files if not path.name.startswith((".part-", "events.out"))}

    return sorted(names(ours) ^ names(theirs))


def rows_differ(ours, theirs):
    """In which columns two CSV files differ beyond rounding; times, dates and paths do not count.

    Args:
        ours: A file.
        theirs: The other file.

    Returns:
        List of `FILE COLUMN`.
    """
    tables = []
    for path in (ours, theirs):
        with open(path, newline="") as file:
            tables.append(list(csv.DictReader(file)))
    if len(tables[0]) != len(tables[1]):
        return [f"{ours.name}: {len(tables[0])} rows and not {len(tables[1])}"]
    differs = set()
    for mine, other in zip(*tables, strict=True):
        for column in other:
            if "second" in column or column == "finished_at" or "/" in other[column]:
                continue
            try:
                same = abs(float(mine[column]) - float(other[column])) <= 1e-5 * max(1.0, abs(float(other[column])))
            except (KeyError, ValueError):
                same = mine.get(column) == other[column]
            differs |= set() if same else {f"{ours.name} {column}"}
    return sorted(differs)


def faults(row):
    """What is wrong with a row.

    Args:
        row: Of the results file.

    Returns:
        List of sentences; empty where the stop and the second run went as they should.
    """
    found = [f"broken: {name}" for name in row["broken"]] + [f"lock: {name}" for name in row["locks"]]
    found += [f"still running: {line}" for line in row["left_running"]]
    found += [f"lock after the second run: {name}" for name in row["second_locks"]]
    found += [f"second run: {name}" for name in row["differs"]]
    found += [f"left: {name}" for name in row.get("litter", [])]
    stopped = not row["ended_before"]
    if stopped and row["exit"] not in (2, -signal.SIGKILL):
        found.append(f"exit code {row['exit']}: {row['said'][-200:]}")
    if stopped and row["exit"] == 2 and (not row["said"].startswith("error:") and "\nerror:" not in row["said"]):
        found.append(f"no line: {row['said'][-200:]}")
    if "Traceback" in row["said"]:
        found.append("a traceback")
    if row["exit"] == 2 and row.get("seconds_to_end", 0) > 3:
        found.append(f"{row['seconds_to_end']} s to end")
    return found


def tables(content):
    """The docs' table from the rows.

    Args:
        content: Of the results file.

    Returns:
        Dict from place to Markdown.
    """
    lines = ["| command | stopped by | stops | of them before its end | second run as if uninterrupted | faults |"]
    lines += ["|---|---|---:|---:|---:|---:|"]
    for command in COMMANDS:
        for kind in KINDS:
            rows = [row for name, row in content["rows"].items() if name.startswith(f"{command}, {kind} ")]
            early = sum(not row["ended_before"] for row in rows)
            same = sum(not row["differs"] for row in rows)
            faulty = sum(bool(faults(row)) for row in rows)
            lines.append(f"| {command} | {kind} | {len(rows)} | {early} | {same} | {faulty} |")
    return {"stops": "\n".join(lines)}


if __name__ == "__main__":
    main()
