"""The task `kidney` on data that are not simulated here: hippocampi in MR, and DeepReg's simulated prostate ultrasound.

    python -m benchmarks.kidney_real

Hippocampi: 100 as given are the source; 60 others, turned, larger and of another contrast, the target: once the source
network, once fine-tuned, once adapted with the gate. Ultrasound: 25 volumes, one population. All through the command
line. Runs are kept in `runs/kidney_real`; written to `results/kidney_real.json` and a table of
`docs/results/kidney.md`.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import yaml
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from app.cli import DONE
from app.cli import main as command_line
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "kidney_real"
DATA = Path(os.environ.get("KERASMORPH_DATA", ROOT.parent / "shared" / "data"))
SETTINGS = {
    "epochs": {"hippocampus": 15, "ultrasound": 100},
    "transfer_epochs": 20,
    "filters": [8, 16, 32, 64],
    "source": 100,
    "target": 60,
}
TURN, LARGER, SHIFT = (25.0, -15.0, 20.0), 1.25, (3.0, -2.0, 2.0)


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results = ResultsFile("kidney_real", SETTINGS)
    hippocampi = {"size": 32, "spacing_mm": 2.0, "cohort": str(_hippocampi()), "labels": [1, 2]}
    ultrasound = {"size": 32, "spacing_mm": 0.8, "cohort": str(_ultrasound())}
    results.measure("hippocampus / source", lambda: _run("hippocampus", "source", hippocampi))
    for strategy, rate in (("fine_tuning", 1e-3), ("geometric_intensity", 2e-3), ("gated", 2e-3)):
        results.measure(
            f"hippocampus / {strategy}",
            lambda strategy=strategy, rate=rate: _run("hippocampus", strategy, hippocampi, rate),
        )
    results.measure("ultrasound / source", lambda: _run("ultrasound", "source", ultrasound))
    write_tables("kidney_real", tables(results.content))
    for name, row in results.rows.items():
        print(name, {key: row[key] for key in ("source", "target") if key in row})


def tables(content):
    """The table of `docs/results/kidney.md` on volumes that are not simulated here.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    labels = {
        "hippocampus / source": "hippocampi, `source`",
        "hippocampus / fine_tuning": "`fine_tuning`",
        "hippocampus / geometric_intensity": "`geometric_intensity`",
        "hippocampus / gated": "`gated`",
        "ultrasound / source": f"prostates, `source` ({content['settings']['epochs']['ultrasound']} epochs)",
    }
    lines = ["| Dice | source | target |", "|---|---:|---:|"]
    for name, label in labels.items():
        row = content["rows"][name]
        dice = [f"{row[population]['dice']:.3f} |" if population in row else "|" for population in ("source", "target")]
        lines.append(f"| {label} | {' '.join(dice)}")
    return {"real": "\n".join(lines)}


def _run(cohort, strategy, data, rate=2e-3):
    output = RUNS / f"{cohort}-{strategy}"
    anew = strategy == "source"
    config = {
        "task": "kidney", "strategy": strategy, "output": str(output), "data": data,
        "training": {
            "epochs": SETTINGS["epochs"][cohort] if anew else SETTINGS["transfer_epochs"], "batch_size": 4,
            "learning_rate": rate,
        },
        "augmentation": {"translation_vox": 1.0},
    }  # fmt: skip
    config |= (
        {"network": {"filters": SETTINGS["filters"], "batch_normalisation": True}}
        if anew
        else {"source": str(RUNS / f"{cohort}-source")}
    )
    path = RUNS / f"{cohort}-{strategy}.yaml"
    path.write_text(yaml.safe_dump(config))
    if command_line(["kidney", "train" if anew else "transfer", "--config", str(path)]) != DONE:
        raise SystemExit(f"{output}: failed")
    first = next(Path(data["cohort"]).parent.glob("image/*.nii.gz"))
    if command_line(["kidney", "predict", "--config", str(path), "--input", str(first)]) != DONE:
        raise SystemExit(f"{output}: prediction failed")
    import keras

    keras.backend.clear_session()
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    keys = ("source", "target", "gain", "parameters", "added_parameters")
    return {key: metrics[key] for key in keys if key in metrics}


def _hippocampi():
    folder, rows = RUNS / "hippocampi", []
    names = sorted(path.name for path in (DATA / "hippocampus_msd" / "images").iterdir())
    for index, name in enumerate(names[: SETTINGS["source"] + SETTINGS["target"]]):
        subject = name.removesuffix(".nii.gz")
        image, labels = (read_volume(DATA / "hippocampus_msd" / part / name) for part in ("images", "labels"))
        target = index >= SETTINGS["source"]
        if target:
            image, labels = _shifted(image, 1), _shifted(labels, 0)
            high = np.percentile(image.array, 99.5)
            image = Volume((high * np.clip(1.1 - image.array / high, 0, 1) ** 0.7).astype("float32"), image.affine)
        write_volume(folder / "image" / name, image)
        write_volume(folder / "mask" / name, labels)
        rows.append(f"{subject},image/{name},mask/{name},{'target' if target else 'source'}")
    return _cohort(folder, rows)


def _shifted(volume, order):
    """Turned, larger and moved, on the same grid."""
    matrix = Rotation.from_euler("XYZ", TURN, degrees=True).as_matrix() / LARGER
    centre = (np.array(volume.array.shape) - 1) / 2
    offset = centre - matrix @ (centre + np.array(SHIFT))
    moved = affine_transform(volume.array, matrix, offset, order=order, mode="nearest" if order else "constant")
    return Volume(moved, volume.affine)


def _ultrasound():
    import nibabel

    folder, rows, data = RUNS / "ultrasound", [], DATA / "ultrasound3d" / "deepreg_mr_trus"
    for path in sorted((data / "fixed_images").iterdir()):
        image, labels = nibabel.load(path), nibabel.load(data / "fixed_labels" / path.name)
        gland = np.asarray(labels.dataobj)
        gland = (gland if gland.ndim == 3 else gland[..., 0]) > 0.5  # some files hold the gland alone
        write_volume(folder / "image" / path.name, read_volume(path))
        write_volume(folder / "mask" / path.name, Volume(gland.astype("uint8"), image.affine))
        rows.append(f"{path.name.removesuffix('.nii.gz')},image/{path.name},mask/{path.name},source")
    return _cohort(folder, rows)


def _cohort(folder, rows):
    path = folder / "cohort.csv"
    path.write_text("subject,image,mask,population\n" + "\n".join(rows) + "\n")
    return path


if __name__ == "__main__":
    main()
