"""Template deformation against a U-Net, after the thesis' table 4.2; on whole and on corrupted images.

    python -m benchmarks.template_against_unet                       # all; goes on after an interruption
    python -m benchmarks.template_against_unet --seeds 1 --cohorts kidneys

Simulated kidneys of adults and children (`configs/template/kidney.yaml`) and real hippocampi (two labels, 160 to train
on, 40 to test). "Local only" and "global and local" are our network and our losses with an unpenalised displacement,
no loss of the pose, and one subject as the template; the thesis' own method, trained by Dice alone, is not measured.
Runs are kept in `runs/template_against_unet`; written to `results/template_against_unet.json`,
`docs/figures/template_against_unet.png` and the tables of `docs/results/template.md`.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import yaml
from scipy.ndimage import gaussian_filter

from app.cli import DONE, USER_INPUT
from app.cli import main as command_line
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile
from benchmarks.template_tables import tables

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "template_against_unet"
DATA = Path(os.environ.get("KERASMORPH_DATA", ROOT.parent / "shared" / "data"))
EPOCHS = 30
LONG = {"epochs": 120, "methods": ("U-Net, no augmentation", "U-Net", "ours")}  # kidneys, one seed
STILL = {"noise": 0.0, "translation_vox": 0.0, "rotation_radians": 0.0, "scaling": 0.0}
DISPLACEMENT = {"diffeomorphic": False, "local_weight": 0.0, "volume_weight": 0.0, "pose_weight": 0.0}
METHODS = {
    "U-Net, no augmentation": {"network": {"transform": "none"}, "augmentation": STILL},
    "U-Net": {"network": {"transform": "none"}},
    "local only": {"network": {"transform": "local", **DISPLACEMENT}, "template": {"kind": "subject"}},
    "global and local": {"network": DISPLACEMENT, "template": {"kind": "subject"}},
    "ours": {},
}
AGAIN = {  # what is done to a trained network's answers, without another training
    "U-Net": {"U-Net, largest part": {"largest_component": True}},
    "ours": {"ours, refined": {"refinement_steps": 20}},
}
SPACING_MM = {"kidneys": 8.0, "hippocampi": 2.0}  # of the cubes
COHORTS = tuple(SPACING_MM)
CORRUPTIONS = ("shadow", "noise", "slab", "moved")
THESIS = {"U-Net, no augmentation": (0.81, 0.74), "U-Net": (0.89, 0.82), "local only": (0.85, 0.75),
          "global and local": (0.88, 0.82)}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cohorts", nargs="+", default=COHORTS, choices=COHORTS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    results = ResultsFile("template_against_unet", {"epochs": EPOCHS, "methods": METHODS})
    for seed in range(options.seeds):
        for cohort in options.cohorts:
            for method in options.methods:
                _measure(results, cohort, method, seed)
    if set(options.methods) != set(METHODS) or set(options.cohorts) != set(COHORTS):
        return  # the summary is of all
    for method in LONG["methods"]:
        _measure(results, "kidneys", method, 0, LONG["epochs"])
    for steps in (0, 20):
        results.measure(f"kidneys / ten points / {steps} steps", lambda steps=steps: _points("kidneys", 0, steps))
    results.measure("a volume of 80^3", _seconds)
    names = [name for method in METHODS for name in (method, *AGAIN.get(method, {}))]
    table = {
        cohort: {name: _mean([results.rows[f"{cohort} / {name} / {seed}"] for seed in range(options.seeds)])
                 for name in names}
        for cohort in options.cohorts
    }  # fmt: skip
    long = {
        name: _mean([results.rows[f"kidneys / {name} / 0 / {LONG['epochs']} epochs"]])
        for method in LONG["methods"]
        for name in (method, *AGAIN.get(method, {}))
    }
    results.write(table=table, long=long, thesis=THESIS)
    write_tables("template_against_unet", tables(results.content))
    for cohort, rows in table.items():
        for name, row in rows.items():
            print(cohort, "|", name, "|", {key: row[key] for key in row if key.endswith(("dice", "topology"))})
    _picture(table)


def _measure(results, cohort, method, seed, epochs=EPOCHS):
    for name, applied in {method: {}, **AGAIN.get(method, {})}.items():
        key = f"{cohort} / {name} / {seed}" + (f" / {epochs} epochs" if epochs != EPOCHS else "")
        results.measure(key, lambda applied=applied: _row(cohort, method, seed, applied, epochs))


def _row(cohort, method, seed, applied, epochs):
    import keras

    from app.config import load_config
    from app.systems.opened import open_run
    from app.systems.template.config import TemplateConfig
    from app.systems.template.report import measure, summarise_template
    from app.training.run_folder import RunFolder

    path = _config(cohort, method, seed, epochs)
    config = load_config(TemplateConfig, path)
    folder = RunFolder(config.output)
    if not (folder.path / "metrics.json").is_file():
        # A plain displacement may break the topology; its report says so, and the command ends with the user's code.
        ended = command_line(["template", "--config", str(path)])
        if ended not in (DONE, USER_INPUT) or not (folder.path / "metrics.json").is_file():
            raise SystemExit(f"{folder.path}: failed")
    run = open_run(folder.path)
    segment = run.predictor(config.model_copy(update={"refinement_steps": 0, "largest_component": False, **applied}))
    test = run.system.deal(config, None)["test"]
    row = {"whole": summarise_template(measure(segment, test))}
    for kind in CORRUPTIONS:
        cases = [_corrupted(cohort, case, kind) for case in test]
        row[kind] = summarise_template(measure(segment, cases))
    metrics = json.loads((folder.path / "metrics.json").read_text(encoding="utf-8"))
    row |= {"weights": metrics["weights"], "pose": metrics.get("pose", {}).get("median_det")}
    row["largest_correlation"] = metrics.get("pose", {}).get("largest_correlation")
    keras.backend.clear_session()
    return row


def _points(cohort, seed, steps, count=10):
    """Ten random points a test volume, inside where the true mask is: met, Dice before and after, seconds.

    Before and after are refined by so many steps.

    The first volume is left out of the times: it traces the graph.
    """
    from app.config import load_config
    from app.systems.masks.cohort import read_mask
    from app.systems.opened import open_run
    from app.systems.template.config import TemplateConfig
    from app.systems.template.points import Points

    config = load_config(TemplateConfig, _config(cohort, "ours", seed))
    run = open_run(config.output)
    segment = run.predictor(config.model_copy(update={"refinement_steps": steps}))
    rng, rows = np.random.default_rng(0), []
    for case in run.system.deal(config, None)["test"]:
        image = read_volume(case.image)
        truth = read_mask(case, image)[..., 0]
        near = gaussian_filter(truth.astype("float32"), 2.0)
        voxels = rng.permutation(np.argwhere((near > 0.02) & (near < 0.98)))[:count]
        inside = truth[tuple(voxels.T)]
        places = voxels @ image.affine[:3, :3].T + image.affine[:3, 3]
        before = segment(image)
        began = time.perf_counter()
        after = segment(image, Points(places, inside, np.where(inside, 0, -1), tuple(range(count))))
        seconds = time.perf_counter() - began
        dice = [
            2 * np.sum((segmented.mask > 0) & truth) / (np.sum(segmented.mask > 0) + truth.sum())
            for segmented in (before, after)
        ]
        rows.append((after.points_met / count, *dice, seconds, after.right, after.folding == 0))
    met, before, after, _, right, unfolded = np.mean(rows, axis=0)
    return {
        "met": met, "all_met": float(np.mean([row[0] == 1 for row in rows])), "dice_before": before,
        "dice_after": after, "dice_fell": float(np.mean([row[2] < row[1] for row in rows])),
        "dice_fell_by_0.005": float(np.mean([row[2] < row[1] - 0.005 for row in rows])),
        "dice_change_worst": float(np.min([row[2] - row[1] for row in rows])),
        "seconds": float(np.median([row[3] for row in rows[1:]])), "first_seconds": rows[0][3],
        "template_topology": right, "no_folding": unfolded,
    }  # fmt: skip


def _seconds():
    """A prediction at the thesis' size, with the small network: median of five after the first."""
    from types import SimpleNamespace

    from app.data.intensity import IntensityRule
    from app.systems.template.contract import TemplateContract
    from app.systems.template.segment import Segmenter
    from segmentation.template import Template
    from segmentation.template_network import TemplateNetwork

    size = 80
    places = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 3, indexing="ij"), axis=-1)
    ball = (14.0 - np.linalg.norm(places, axis=-1))[None, ..., None].astype("float32")
    template = Template(ball, 4.0, (1,))
    model = TemplateNetwork(size, filters=(8, 16, 32, 64), batch_normalisation=True)
    model.take_template(template)
    contract = TemplateContract(
        size=size, spacing_mm=4.0, labels=(1,), transform="global_local", diffeomorphic=True,
        topologies=template.topologies(), intensity=IntensityRule(), simulated=True,
    )  # fmt: skip
    volume = Volume(np.random.default_rng(0).random((size,) * 3).astype("float32"), np.diag([4.0, 4.0, 4.0, 1.0]))
    segment, seconds = Segmenter(model, contract, SimpleNamespace(refinement_steps=0)), []
    for _ in range(6):
        began = time.perf_counter()
        segment(volume)
        seconds.append(time.perf_counter() - began)
    return {"seconds": float(np.median(seconds[1:])), "first_seconds": seconds[0]}


def _config(cohort, method, seed, epochs=EPOCHS):
    content = yaml.safe_load((ROOT / "configs" / "template" / "kidney.yaml").read_text(encoding="utf-8"))
    content["data"].pop("phantom")
    content.pop("refinement_steps")  # rows of their own
    content["data"]["spacing_mm"] = SPACING_MM[cohort]
    content["data"]["cohort"] = str(_kidneys() if cohort == "kidneys" else _hippocampi())
    if cohort == "hippocampi":
        content["data"]["labels"] = [1, 2]
        content["augmentation"] = {"translation_vox": 1.0}
    for key, values in METHODS[method].items():
        content[key] = {**content.get(key, {}), **values}
    name = f"{cohort}-{method.replace(', ', '-').replace(' ', '_')}-{seed}"
    name += f"-{epochs}_epochs" if epochs != EPOCHS else ""
    content |= {"output": str(RUNS / name), "seed": seed}
    content["training"]["epochs"] = epochs
    path = RUNS / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def _kidneys():
    from app.data.phantoms.config import KidneysConfig
    from app.data.phantoms.kidneys import write_kidneys

    return write_kidneys(RUNS / "kidneys", KidneysConfig(adults=160, children=64, detail_mm=4.0))


def _hippocampi():
    folder = DATA / "hippocampus_msd"
    rows = [f"{path.name[:15]},{path},{folder / 'labels' / path.name},source"
            for path in sorted((folder / "images").iterdir())]  # fmt: skip
    path = RUNS / "hippocampi.csv"
    path.write_text("subject,image,mask,population\n" + "\n".join(rows) + "\n")
    return path


def _corrupted(cohort, case, kind):
    """The case with files of its own: a shadowed or missing slab across the structure's longest axis, noise, or moved.

    Moved is by two voxels of the cube, which is put around the middle of what a volume shows: more, black, along its
    shortest axis.
    """
    import dataclasses

    folder = RUNS / "corrupted" / kind / cohort
    path, mask = folder / f"{case.subject}.nii.gz", folder / f"{case.subject}_mask.nii.gz"
    if not path.is_file():
        image, truth = read_volume(case.image), read_volume(case.mask)
        rng = np.random.default_rng([CORRUPTIONS.index(kind), sum(map(ord, case.subject))])
        array = np.asarray(image.array, "float32")
        high, places = np.percentile(array, 99.5), np.argwhere(np.asarray(truth.array) > 0)
        centre, extent = places.mean(axis=0), np.ptp(places, axis=0) + 1
        if kind == "moved":
            spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
            axis = int(np.argmin(array.shape * spacing))
            added = [(0, 0)] * 3
            added[axis] = (0, round(4 * SPACING_MM[cohort] / spacing[axis]))
            array = np.pad(array, added)
            array[(slice(None),) * axis + (-1,)] = 1e-3 * high
            write_volume(mask, Volume(np.pad(np.asarray(truth.array), added), truth.affine))
        elif kind == "noise":
            array = np.where(array > 0, np.clip(array + rng.normal(0, 0.25 * high, array.shape), 1e-3 * high, high), 0)
        else:
            axis = int(np.argmax(extent))
            where = np.arange(array.shape[axis]) - (centre[axis] + rng.uniform(-0.25, 0.25) * extent[axis])
            width = (0.3 if kind == "shadow" else 0.2) * extent[axis]
            inside = (np.abs(where) < width / 2).astype("float32")
            inside = gaussian_filter(inside, 1.0) if kind == "shadow" else inside
            factor = (1 - (0.9 if kind == "shadow" else 1.0) * inside).reshape(
                [-1 if a == axis else 1 for a in range(3)]
            )
            array = np.where(array > 0, np.maximum(array * factor, 1e-3 * high), 0)
        write_volume(path, Volume(array.astype("float32"), image.affine))
    return dataclasses.replace(case, image=path, mask=mask if kind == "moved" else case.mask)


def _mean(rows):
    """Means over seeds, flat: 'whole source dice', ..."""
    found = {}
    for part in ("whole", *CORRUPTIONS):
        for population in rows[0][part]:
            for key in ("dice", "hd95_mm", "surface_dice", "components", "template_topology", "folding", "held_back",
                        "seconds"):  # fmt: skip
                values = [row[part][population][key] for row in rows]
                if None not in values:
                    found[f"{part} {population} {key}"] = round(float(np.mean(values)), 4)
            values = [row[part][population]["dice"] for row in rows]
            found[f"{part} {population} dice sd over seeds"] = round(float(np.std(values)), 4)
    for key in ("weights", "pose", "largest_correlation"):
        if rows[0][key] is not None:
            found[key] = float(np.mean([row[key] for row in rows]))
    return found


def _picture(table):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = []
    for cohort, rows in table.items():
        populations = dict.fromkeys(key.split()[1] for key in rows["ours"] if key.startswith("whole"))
        columns += [(cohort, population) for population in populations]
    figure, panels = plt.subplots(1, len(columns), figsize=(5 * len(columns), 4.6), layout="constrained", squeeze=False)
    for panel, (cohort, population) in zip(panels[0], columns, strict=True):
        for offset, (name, row) in enumerate(table[cohort].items()):
            values = [row[f"{part} {population} dice"] for part in ("whole", *CORRUPTIONS)]
            panel.bar(np.arange(len(values)) + 0.12 * offset, values, 0.12, label=name)
        panel.set_xticks(np.arange(len(values)) + 0.36, ("whole", *CORRUPTIONS))
        named = {"kidneys": {"source": ", adults", "target": ", children"}}.get(cohort, {}).get(population, "")
        panel.set(title=cohort + named, ylabel="Dice", ylim=(0, 1))
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    figure.savefig(ROOT / "docs" / "figures" / "template_against_unet.png", dpi=110)


if __name__ == "__main__":
    main()
