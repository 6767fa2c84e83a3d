"""What `make demo` takes and gives on this machine.

    python -m benchmarks.demo

The command as a user runs it, in a folder of its own, after installation: seconds by the clock and by the
processor, and the Dice of the test pairs. A row for each kind of processor.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.processor import processor
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/hypermorph/demo.yaml"


def measure():
    """Run the demo once.

    Returns:
        Dict.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "main.py", "hypermorph", "--config", CONFIG, "--set", f"output={folder}/demo"]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        metrics = json.loads((Path(folder) / "demo" / "metrics.json").read_text(encoding="utf-8"))
    return {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "best": metrics["best"],
        "over_hyper": metrics["over_hyper"],
    }


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    lambdas = [entry["hyper"]["lambda"] for entry in next(iter(content["rows"].values()))["over_hyper"]]
    lines = [
        "| processor | minutes | CPU minutes | Dice before | "
        + " | ".join(f"lambda {value:.1f}" for value in lambdas)
        + " | largest folding |",
        "|---|" + "---:|" * (len(lambdas) + 4),
    ]
    for vectors, row in content["rows"].items():
        over = row["over_hyper"]
        cells = [f"{row['processor']}, {vectors}", f"{row['seconds'] / 60:.1f}", f"{row['cpu_seconds'] / 60:.1f}"]
        cells += [f"{over[0]['dice_before']:.3f}", *(f"{entry['dice']:.3f}" for entry in over)]
        lines.append("| " + " | ".join([*cells, f"{max(entry['folding_percent'] for entry in over):.4f} %"]) + " |")
    return {"demo": "\n".join(lines)}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results = ResultsFile("demo", {"config": CONFIG})
    results.measure(processor()["vectors"], measure)
    write_tables("demo", tables(results.content))
    print(tables(results.content)["demo"])


if __name__ == "__main__":
    main()
