"""What half precision costs in Dice, and what a large pair costs in memory.

    python -m benchmarks.precision [--run runs/ixi_3d_0]

The run is one of `benchmarks.ixi_3d`; its model is evaluated on the test pairs of its own config, once in
each precision. A pair of 256^3 is registered by the task `register`, in a process whose peak counts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import yaml

from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
# The peak of a finished child, which includes everything that the task loads, writes and draws.
MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print("peak_kib", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
raise SystemExit(done.returncode)
"""


def task(name, values, folder):
    """Run a task with a config, and return its peak memory in GiB."""
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-c", MEASURED, sys.executable, "main.py", name, "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return int(done.stdout.split("peak_kib")[-1]) / 2**20


def evaluate(run, precision):
    """Mean figures on the run's own test pairs."""
    trained = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        values = {"task": "evaluate", "output": str(output), "model": str(run), "data": trained["data"]}
        peak = task("evaluate", {**values, "seed": trained["seed"], "precision": precision}, Path(folder))
        best = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["at_best"]
    kept = ("hyper", "dice", "dice_before", "hd95_mm", "folding_percent", "seconds")
    return {"peak_gib": peak, **{key: best[key] for key in kept if key in best}}


def large_pair(run, precision, size=256):
    """Peak memory of `register` on a pair of so many voxels an axis."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name in ("moving", "fixed"):
            image = nibabel.Nifti1Image(rng.random((size,) * 3, dtype="float32"), np.eye(4))
            nibabel.save(image, folder / f"{name}.nii")
        values = {"task": "register", "output": str(folder / "out"), "model": str(run), "precision": precision}
        pair = {name: str(folder / f"{name}.nii") for name in ("moving", "fixed")}
        peak = task("register", {**values, **pair}, folder)
        measures = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))
    return {"peak_gib": peak, "seconds": measures["seconds"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "ixi_3d_0")
    options = parser.parse_args()
    if not (options.run / "model.keras").is_file():
        raise SystemExit(f"{options.run}: no finished run; run python -m benchmarks.ixi_3d first")
    results = ResultsFile("precision", {"run": options.run.name})
    run = options.run.resolve()
    for precision in ("float32", "bfloat16"):
        results.measure(f"test pairs, {precision}", lambda p=precision: evaluate(run, p))
        results.measure(f"256^3, {precision}", lambda p=precision: large_pair(run, p))
    dice = [results.rows[f"test pairs, {precision}"]["dice"] for precision in ("float32", "bfloat16")]
    results.write(dice_difference=abs(dice[0] - dice[1]))
    print(json.dumps(results.content["rows"], indent=2))


if __name__ == "__main__":
    main()
