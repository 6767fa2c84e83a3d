"""The kernels, a whole pair and a training step against the peers: seconds, memory, ratios.

    python -m benchmarks.floor                    ours, VoxelMorph 0.2, SciPy: 20 minutes on 2 cores
    python -m benchmarks.floor --peers            also VoxelMorph 0.3.4, MONAI, PyTorch's grid_sample, and
                                                  ours on JAX, in an environment that is built for them

Every row is a process of its own with the machine to itself; sides follow one another in alternating
order, round after round, and the median of all repeats counts. The tables, one for each kind of processor
that was measured, go to `docs/results/performance.md`. On a machine with AVX-512 `ONEDNN_MAX_CPU_ISA=AVX2` stands in
for one without.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

from app.processor import processor
from benchmarks.floor_child import CHANNELS, FULL, HALF, STEPS
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers"
REQUIREMENTS = (
    "torch==2.13.0",
    "voxelmorph==0.3.4",
    "monai==1.6.1",
    "keras==3.15.1",
    "jax==0.10.2",
    "numpy==2.4.6",
    "scipy==1.17.1",
)
KERNELS = [*CHANNELS, "integrate"]
JOBS = {
    "warp_1": "warp 160x192x224, 1 channel",
    "warp_8": "warp 160x192x224, 8 channels",
    "gradient_field": "warp and its gradient for the field",
    "gradient_both": "warp and its gradients for volume and field",
    "integrate": "integration, 7 steps at 80x96x112",
    "pair": "a whole pair, 160x192x224",
    "step_small": "HyperMorph training step, 48x64x48, batch 2",
    "step_large": "HyperMorph training step, 80x96x80, batch 1",
}
OURS, ORIGINAL = "ours", "VoxelMorph 0.2"
HERE = {
    OURS: list(JOBS),
    "ours, bfloat16": ["pair"],
    "ours, VoxelMorph's network": list(STEPS),
    "ours, one thread an operation": list(STEPS),
    "ours, one operation at a time": list(STEPS),
    ORIGINAL: list(JOBS),
    "SciPy": ["warp_1", "warp_8"],
}
ELSEWHERE = {
    "PyTorch grid_sample": list(CHANNELS),
    "MONAI Warp": list(CHANNELS),
    "VoxelMorph 0.3.4": [*KERNELS, "pair"],
    "ours on JAX": KERNELS,
}
REPEATS = {"pair": 5, "step_small": 15, "step_large": 10}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="also those that need an environment of their own")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    results = ResultsFile("floor", {"repeats": REPEATS, "rounds": options.rounds})
    pythons = dict.fromkeys(["copy", *HERE], sys.executable)
    if options.peers:
        pythons |= dict.fromkeys(ELSEWHERE, build_peers())
    sides = {side: jobs for side, jobs in {**HERE, **ELSEWHERE}.items() if side in pythons}
    for number in range(options.rounds):
        measure(results, "copy", "copy", number, pythons)
        if options.peers:
            measure(results, "copy", "ours on JAX", number, pythons)
        for job in JOBS:
            order = [side for side, jobs in sides.items() if job in jobs]
            for side in order if number % 2 == 0 else reversed(order):
                measure(results, job, side, number, pythons)
    results.write(**{vectors: summarise(rows) for vectors, rows in by_processor(results.rows).items()})
    write_tables("floor", tables(results.content))
    print(tables(results.content)["tables"])


def build_peers():
    """The peers' environment: its Python, built if it is not there."""
    python = PEERS / "bin" / "python"
    stamp = PEERS / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS)
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"building {PEERS} ...", flush=True)
        venv.create(PEERS, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    return python


def measure(results, job, side, number, pythons):
    """One row: a side doing a job in a process of its own."""
    command = [pythons[side], "-m", "benchmarks.floor_child", side, job, str(REPEATS.get(job, 10))]

    def in_child():
        done = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        if done.returncode:
            raise SystemExit(f"{side}, {job} failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    results.measure(f"{processor()['vectors']} / {job} / {side} / {number}", in_child)


def by_processor(rows):
    """Rows of each kind of processor, under "job / side / round".

    Args:
        rows: Dict from "vectors / job / side / round" to what was measured.

    Returns:
        Dict from vector width to such a dict.
    """
    kinds = {}
    for name, row in rows.items():
        vectors, _, rest = name.partition(" / ")
        kinds.setdefault(vectors, {})[rest] = row
    return kinds


def summarise(rows):
    """Medians, memory, ratios and bytes of each job and side.

    Args:
        rows: Dict from "job / side / round" to what was measured.

    Returns:
        Dict with `jobs`, `bandwidth_gb_s` and `gpu`.
    """
    gathered = {}
    for name, row in rows.items():
        job, side, _ = name.split(" / ")
        gathered.setdefault(job, {}).setdefault(side, []).append(row)
    medians = {
        job: {
            side: {
                "seconds": statistics.median(second for row in found for second in row["seconds"]),
                "peak_gib": max(row["peak_gib"] for row in found),
                "mean": found[0]["mean"],
                "deviation": found[0]["deviation"],
                "device": found[0]["device"],
                "processor": found[0]["processor"],
                "cpu_seconds": statistics.median(row["cpu_seconds"] for row in found)
                if all("cpu_seconds" in row for row in found)
                else None,
            }
            for side, found in sides.items()
        }
        for job, sides in gathered.items()
    }
    copies = medians.pop("copy")
    bandwidth = {side: copy["mean"] / copy["seconds"] / 1e9 for side, copy in copies.items()}
    for job, sides in medians.items():
        for side, side_ in sides.items():
            side_["times_slower_than_ours"] = side_["seconds"] / sides[OURS]["seconds"]
            if side_["cpu_seconds"] and sides[OURS]["cpu_seconds"]:
                side_["times_slower_than_ours_cpu"] = side_["cpu_seconds"] / sides[OURS]["cpu_seconds"]
            if job in KERNELS:
                # Gathers differ by rounding; another number would mean that another thing was computed.
                same = abs(side_["deviation"] - sides[OURS]["deviation"]) < 0.01 * sides[OURS]["deviation"]
                side_["same_answer"] = same
                reach = bandwidth.get(side, bandwidth["copy"])
                side_["share_of_bandwidth"] = bytes_to_move(job) / side_["seconds"] / 1e9 / reach
    jax = medians["warp_1"].get("ours on JAX", {}).get("device")
    return {"jobs": medians, "bandwidth_gb_s": bandwidth, "gpu": jax if jax and jax != "cpu" else None}


def bytes_to_move(job):
    """What must be read and written at the least, in bytes of float32."""
    if job == "integrate":
        return 7 * 4 * (3 + 3) * _voxels(HALF)
    channels = CHANNELS[job]
    numbers = {
        "warp": 3 + 2 * channels,  # field and volume in, moved out
        "gradient_field": 3 + 3 * channels + 3,  # and upstream in, gradient out
        "gradient_both": 3 + 4 * channels + 3,
    }["warp" if job.startswith("warp") else job]
    return 4 * numbers * _voxels(FULL)


def _voxels(shape):
    total = 1
    for size in shape:
        total *= size
    return total


def tables(content):
    """The page's tables in Markdown, one for each kind of processor.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    return {
        "tables": "\n\n".join(
            _table(vectors, summarise(rows), content["machine"])
            for vectors, rows in by_processor(content["rows"]).items()
        )
    }


def _table(vectors, summary, machine):
    bandwidth = summary["bandwidth_gb_s"]
    name = summary["jobs"]["warp_1"][OURS]["processor"]
    lines = [
        f"**{vectors}**: {name}, {machine['cores']} cores; a copy by all cores moves {bandwidth['copy']:.1f} GB/s.",
        "",
        "| job | side | ms | times ours | CPU ms | times ours | peak GiB | must move, MB | share of copy bandwidth |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for job, sides in summary["jobs"].items():
        for side, side_ in sides.items():
            moved = f"{bytes_to_move(job) / 1e6:.0f}" if job in KERNELS else ""
            share = f"{100 * side_['share_of_bandwidth']:.0f} %" if job in KERNELS else ""
            ratio = "" if side == OURS else f"{side_['times_slower_than_ours']:.1f}"
            label = side if side_.get("same_answer", True) else f"{side} *"
            spent = "" if side_["cpu_seconds"] is None else f"{1e3 * side_['cpu_seconds']:.0f}"
            took = f"{1e3 * side_['seconds']:.0f}"
            cpu = side_.get("times_slower_than_ours_cpu")
            cpu_ratio = "" if side == OURS or cpu is None else f"{cpu:.1f}"
            cells = [JOBS[job], label, took, ratio, spent, cpu_ratio, f"{side_['peak_gib']:.2f}", moved, share]
            lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "\\* other numbers than ours at the image's edge: zeros are read outside, where ours repeats the edge.",
    ]
    lines += ["", f"GPU: {summary['gpu']}." if summary["gpu"] else GPU_ABSENT]
    return "\n".join(lines)


GPU_ABSENT = (
    "Not measured on a GPU: none was available. The rows of the JAX backend ran the same code on the processor."
)


if __name__ == "__main__":
    main()
