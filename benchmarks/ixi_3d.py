"""HyperMorph on the brains of IXI at 2 mm: the config that users get, from training to figures.

    python -m benchmarks.ixi_3d                  as shipped, about 40 minutes on 2 cores
    python -m benchmarks.ixi_3d --epochs 160     five times as long, until validation stalls

Resumable: the run folder is `runs/ixi_3d_EPOCHS`. The figures that the docs quote are copied from
its `metrics.json` to `results/ixi_3d_EPOCHS.json`.
"""

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

from app.files import write_json
from benchmarks.brains import DATA
from benchmarks.results_file import RESULTS, machine

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/hypermorph/ixi_3d.yaml"


def collect(run):
    """What the docs quote of a finished run.

    Args:
        run: Run folder.

    Returns:
        Dict.
    """
    from app.training.run_folder import RunFolder

    history = RunFolder(run).read_history()
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        "config": CONFIG,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "training_minutes": sum(row["seconds"] for row in history) / 60.0,
        "validation_dice": {row["epoch"]: row["validation_dice"] for row in history if row.get("validation_dice")},
        **{name: metrics[name] for name in ("best", "at_best", "over_hyper", "structures_at_best")},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--run", type=Path, help="run folder, if not runs/ixi_3d_EPOCHS")
    options = parser.parse_args()
    run = options.run or ROOT / "runs" / f"ixi_3d_{options.epochs}"
    folder = DATA / "brains_ixi_2mm"
    assignments = {
        "output": run,
        "data.cohort": folder / "participants.csv",
        "data.label_names": folder / "labels.csv",
        "training.epochs": options.epochs,
    }
    if not (run / "metrics.json").is_file():
        words = [word for key, value in assignments.items() for word in ("--set", f"{key}={value}")]
        subprocess.run([sys.executable, "main.py", "hypermorph", "--config", CONFIG, *words], cwd=ROOT, check=True)
    result = collect(run)
    write_json(RESULTS / f"ixi_3d_{options.epochs}.json", result)
    print(json.dumps(result["at_best"], indent=2))


if __name__ == "__main__":
    main()
