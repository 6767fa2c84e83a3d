"""Forty pairs of a manifest: one process against two, killed at random moments, and by Dask with a worker killed.

    python -m benchmarks.cohort        25 minutes on 2 cores

Pairs of the last twenty subjects of IXI at 2 mm, `preset: default`, no model; the whole of `register`: reading,
alignment, deformation, moved image and labels, the displacement. Each command is a process of its own, its workers'
start and compilation included. Seconds are by the clock: what is measured is how long somebody waits. Resumable.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np

from benchmarks.brains import DATA
from benchmarks.engine import ROOT
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

FOLDER = ROOT / "runs" / "cohort"
PAIRS, KILLS, SEED = 40, 3, 0
MANY = 100_000
KILLED = (
    "Killed with {kills} pairs done and run again: {all} done, {computed_again} computed twice, displacements "
    "{largest_difference_mm:.2g} mm apart at most."
)
DASK = (
    "By Dask, one of two workers killed after five pairs: {done} done in {seconds:.0f} s, displacements "
    "{largest_difference_mm:.2g} mm apart at most."
)
COST = (
    "At {per_pair:.1f} CPU seconds and {mib:.1f} MiB per pair, 100,000 pairs take {hours:.0f} core hours, "
    "{night:.1f} hours on 64 cores, and {tib:.1f} TiB."
)


def write_pairs():
    """The manifest.

    Returns:
        Its path.
    """
    images = sorted((DATA / "brains_ixi_2mm" / "images").glob("*.nii.gz"))[-20:]
    pairs = [(moving, fixed) for moving in images for fixed in images if moving != fixed]
    chosen = np.random.default_rng(SEED).permutation(len(pairs))[:PAIRS]
    path = FOLDER / "pairs.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["moving", "fixed", "moving_labels", "fixed_labels"])
        for place in chosen:
            sides = [*pairs[place], *(image.parents[1] / "labels" / image.name for image in pairs[place])]
            writer.writerow(map(str, sides))
    return path


def command(manifest, output, **values):
    """Words of `register` on the manifest."""
    values = {"pairs": manifest, "output": output} | values
    return [sys.executable, "main.py", "register", *(w for k, v in values.items() for w in ("--set", f"{k}={v}"))]


def timed(manifest, workers):
    """All pairs, afresh.

    Args:
        manifest: Path.
        workers: How many processes.

    Returns:
        Dict of seconds by the clock, CPU seconds, and the mean Dice.
    """
    output = FOLDER / f"workers_{workers}"
    shutil.rmtree(output, ignore_errors=True)
    before, began = os.times(), time.perf_counter()
    words = command(manifest, output, **{"cluster.workers": workers})
    subprocess.run(words, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    means = json.loads((output / "metrics.json").read_text())["means"]
    return {"seconds": seconds, "cpu_seconds": cpu, "pairs": PAIRS, "dice": means["mean_dice"], "gib": size(output)}


def size(folder):
    """GiB of a folder's files."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 2**30


def killed(manifest):
    """Killed three times at random moments, then left alone.

    Args:
        manifest: Path.

    Returns:
        Dict: pairs done at each kill, how many of them were computed again, the largest difference in mm from the
        displacements of an uninterrupted command.
    """
    output, rng = FOLDER / "killed", random.Random(SEED)
    shutil.rmtree(output, ignore_errors=True)
    words, done, again = command(manifest, output, **{"cluster.workers": 2}), [], 0
    for kill in range(KILLS + 1):
        known = {path: path.stat().st_mtime_ns for path in output.glob("pairs/*/done.json")}
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
        if kill < KILLS:
            time.sleep(rng.uniform(15.0, 45.0))
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(3.0)  # until orphaned workers have seen that their parent is gone
        again += sum(path.stat().st_mtime_ns != moment for path, moment in known.items())
        done.append(len(list(output.glob("pairs/*/done.json"))))
    return {"done": done, "computed_again": again, "largest_difference_mm": apart(output, FOLDER / "workers_2")}


def by_dask(manifest):
    """A scheduler and two workers on loopback, one of which is killed after five pairs.

    Args:
        manifest: Path.

    Returns:
        Dict: seconds by the clock, pairs done, the largest difference from processes of this machine in mm.
    """
    output, own = FOLDER / "dask", [sys.executable, "-m"]
    shutil.rmtree(output, ignore_errors=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    options = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": FOLDER}
    address, module = f"tcp://127.0.0.1:{port}", "distributed.cli.dask_"
    started = [subprocess.Popen([*own, f"{module}scheduler", "--host", "127.0.0.1", "--port", str(port)], **options)]
    words = [*own, f"{module}worker", address, "--nthreads", "1", "--no-nanny"]
    started += [subprocess.Popen(words, **options) for _ in range(2)]
    try:
        began = time.perf_counter()
        process = subprocess.Popen(command(manifest, output, **{"cluster.scheduler": address}), cwd=ROOT,
                                   stdout=subprocess.DEVNULL)  # fmt: skip
        while len(list(output.glob("pairs/*/done.json"))) < 5 and process.poll() is None:
            time.sleep(0.2)
        started[1].kill()
        code, seconds = process.wait(), time.perf_counter() - began
    finally:
        for each in started:
            each.kill()
            each.wait()
    done = len(list(output.glob("pairs/*/done.json")))
    return {"exit_code": code, "seconds": seconds, "done": done,
            "largest_difference_mm": apart(output, FOLDER / "workers_2")}  # fmt: skip


def apart(one, other):
    """Largest difference of two commands' displacements, in mm."""
    files = sorted(Path(other).glob("pairs/*/displacement.nii.gz"))
    arrays = ([np.asarray(nibabel.load(folder / file.parent.name / file.name).dataobj) for folder in
               (Path(one) / "pairs", Path(other) / "pairs")] for file in files)  # fmt: skip
    return max(float(np.abs(first - second).max()) for first, second in arrays)


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    one, two = rows["one process"], rows["two processes"]
    lines = [
        "| 40 pairs | seconds by the clock | CPU seconds per pair | mean Dice |", "|---|---:|---:|---:|",
        *(f"| {name} | {row['seconds']:.0f} | {row['cpu_seconds'] / row['pairs']:.1f} | {row['dice']:.3f} |"
          for name, row in (("one process", one), ("two processes", two))),
        "",
        f"Two processes are {one['seconds'] / two['seconds']:.2f} times as fast as one; {two['processor']}, "
        f"{two['vectors']}, {content['machine']['cores']} cores, {two['date']}.",
    ]  # fmt: skip
    if "killed" in rows:
        row = rows["killed"]
        lines += ["", KILLED.format(kills=", ".join(map(str, row["done"][:-1])), all=row["done"][-1], **row)]
    if "dask" in rows:
        lines += ["", DASK.format(**rows["dask"])]
    per_pair, mib = two["cpu_seconds"] / two["pairs"], 1024 * two["gib"] / two["pairs"]
    hours = MANY * per_pair / 3600
    cost = COST.format(per_pair=per_pair, mib=mib, hours=hours, night=hours / 64, tib=MANY * mib / 2**20)
    return {"pairs": "\n".join(lines), "cost": cost}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    manifest = write_pairs()
    results = ResultsFile("cohort", {"pairs": PAIRS, "kills": KILLS, "seed": SEED, "preset": "default"})
    results.measure("one process", lambda: timed(manifest, 1))
    results.measure("two processes", lambda: timed(manifest, 2))
    results.measure("killed", lambda: killed(manifest))
    results.measure("dask", lambda: by_dask(manifest))
    write_tables("cohort", tables(results.content))


if __name__ == "__main__":
    main()
