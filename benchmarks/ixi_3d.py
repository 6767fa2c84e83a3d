"""HyperMorph on the brains of IXI at 2 mm: the config that users get, from training to figures.

    python -m benchmarks.ixi_3d

Resumable: the run folder is `runs/ixi_3d`. The figures that the docs quote are copied from its
`metrics.json` to `results/ixi_3d.json`.
"""

import datetime
import json
import os
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
    run = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "ixi_3d"
    folder = DATA / "brains_ixi_2mm"
    words = [f"output={run}", f"data.cohort={folder / 'participants.csv'}", f"data.label_names={folder / 'labels.csv'}"]
    if not (run / "metrics.json").is_file():
        command = [sys.executable, "main.py", "hypermorph", "--config", CONFIG]
        for word in words:
            command += ["--set", word]
        subprocess.run(command, cwd=ROOT, check=True, env=os.environ)
    result = collect(run)
    write_json(RESULTS / "ixi_3d.json", result)
    print(json.dumps(result["at_best"], indent=2))


if __name__ == "__main__":
    main()
