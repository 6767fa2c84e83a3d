"""Report of the task `template`: figures by population, what is guaranteed, poses, best, middle and worst volumes."""

import time

import numpy as np

from app.config import config_text
from app.data.mask_cohort import read_mask
from app.errors import naming
from app.files import write_csv, write_json
from app.progress import progress
from app.reporting.figures import new_figure
from app.reporting.html import Report
from app.reporting.kidney_metrics import FIGURES, case_row, summarise
from app.reporting.mask_figures import SIMULATED, show_volumes, slices_figure
from segmentation.template import structures_of

POSE = (
    "translation_i", "translation_j", "translation_k", "angle_i", "angle_j", "angle_k", "scale_i", "scale_j", "scale_k",
)  # fmt: skip


def write_report(config, folder, contract, weights, segment, test, poses, history, faults=()):
    """Measure the test volumes; write `metrics.json`, `volumes.csv`, figures and `report.html`.

    Args:
        config: `TemplateConfig`.
        folder: `RunFolder`.
        contract: `TemplateContract`.
        weights: Of the network.
        segment: `Segmenter`.
        test: List of `Case`.
        poses: Dict from population to `(volumes, 9)`: of the training volumes; empty without poses.
        history: List of dicts, one per epoch.
        faults: Lines: what is wrong with the template itself.

    Returns:
        Path of the report, and a list of lines: which masks broke what is guaranteed.
    """
    rows = measure(segment, test, contract, config.structures)
    summary, broken = summarise_template(rows), [*faults, *broken_guarantees(rows, contract)]
    content = {
        "simulated_training": contract.simulated, "transform": contract.transform, "weights": weights, **summary,
        "template": [str(one) for one in contract.topologies], "guarantees_broken": broken,
    }  # fmt: skip
    report = Report("Template deformation", folder, SIMULATED if contract.simulated else None)
    found = "; ".join(f"{name} {one['dice']:.3f} ({one['volumes']} volumes)" for name, one in summary.items())
    report.text(f"Transform: {contract.transform}. Test volumes: mean Dice {found}.")
    report.heading("Guarantees")
    report.text("FAILED: " + "; ".join(broken) if broken else _kept(rows, contract))
    report.heading("Figures of the test volumes")
    report.table([{"population": name, **found} for name, found in summary.items()])
    if poses and len(np.concatenate(list(poses.values()))) > 2:
        content["pose"] = pose_figures(np.concatenate(list(poses.values())))
        report.heading("Poses of the template in the training volumes")
        report.text(
            f"Median of det(G): {content['pose']['median_det']:.3f}; largest correlation of two parameters "
            f"{content['pose']['largest_correlation']:.2f}."
        )
        report.figure("poses", _poses_figure(poses), "Distribution of the nine parameters.")
        matrix = np.array(content["pose"]["correlations"])
        report.table([
            {"": name, **{other: f"{matrix[i, j]:.2f}" for j, other in enumerate(POSE)}} for i, name in enumerate(POSE)
        ])  # fmt: skip
    write_json(folder.path / "metrics.json", content)
    write_csv(folder.path / "volumes.csv", rows)

    def figure(index):
        image = test[index].volume()
        found = structures_of(segment(image).mask, contract.labels)
        return slices_figure(image, read_mask(test[index], image, config.structures), found)

    show_volumes(report, rows, figure)
    report.training(history)
    report.heading("Config")
    report.listing(config_text(config))
    return report.write(), broken


def write_evaluation(to, contract, segment, test, structures, faults=()):
    """Measure volumes into a folder of its own.

    Args:
        to: Folder.
        contract: `TemplateContract`.
        segment: `Segmenter`.
        test: List of `Case`.
        structures: As for `read_mask`.
        faults: Lines: what is wrong with the template itself.

    Returns:
        Dict from population to its summary, and a list of lines: which masks broke what is guaranteed.
    """
    rows = measure(segment, test, contract, structures)
    summary, broken = summarise_template(rows), [*faults, *broken_guarantees(rows, contract)]
    to.mkdir(parents=True, exist_ok=True)
    write_json(to / "metrics.json", {
        "simulated_training": contract.simulated, **summary, "guarantees_broken": broken,
    })  # fmt: skip
    write_csv(to / "volumes.csv", rows)
    return summary, broken


def measure(segment, cases, contract, structures=None):
    """Figures of volumes, each on its own grid.

    Args:
        segment: `Segmenter`.
        cases: List of `Case`.
        contract: `TemplateContract`.
        structures: As for `read_mask`.

    Returns:
        List of dicts: as `kidney_metrics.case_row`, means over the structures; and `topology`, whether it is the
        template's, `folding_voxels`, `local_share`, `seconds`, the pose.

    Raises:
        UserError: If a file has been damaged since the training.
    """
    rows = []
    for case in progress(cases, "evaluating"):
        with naming(case.image, case.mask):
            image = case.volume()
            truth = read_mask(case, image, structures)
            began = time.perf_counter()
            found = segment(image)
            seconds = time.perf_counter() - began
        each = [
            case_row(case, found.mask == label, truth[..., index], image.affine, min(4.0, contract.spacing_mm))
            for index, label in enumerate(contract.labels)
        ]
        row = dict(each[0])
        for name in (*FIGURES, "volume_ml", "true_volume_ml"):
            values = [one[name] for one in each]
            row[name] = None if None in values else float(np.mean(values))
        if len(each) > 1:  # errors of several structures must not make up for each other
            row["volume_error_ml"] = float(np.mean([abs(one["volume_error_ml"]) for one in each]))
        row["components"] = float(np.mean([one.components for one in found.topologies[: len(each)]]))
        if len(each) > 1:
            row |= {f"dice_{label}": one["dice"] for label, one in zip(contract.labels, each, strict=True)}
        row |= {
            "topology": "; ".join(map(str, found.topologies)), "template_topology": found.right,
            "folding_voxels": found.folding, "local_share": found.local_share, "seconds": round(seconds, 3),
        }  # fmt: skip
        row |= dict(zip(POSE, found.pose or [None] * 9, strict=True))
        rows.append(row)
    return rows


def summarise_template(rows):
    """Means by population, as `kidney_metrics.summarise`, and shares of masks.

    Args:
        rows: What `measure` returned.

    Returns:
        Dict from population to dict: also `template_topology`, share of the masks that have it; `folding`, share of
        the volumes with any; `held_back`, share whose local deformation was not kept whole; `seconds`, the median.
    """
    summary = summarise(rows)
    for population, found in summary.items():
        own = [row for row in rows if row["population"] == population]
        found["template_topology"] = float(np.mean([row["template_topology"] for row in own]))
        found["folding"] = float(np.mean([bool(row["folding_voxels"]) for row in own]))
        found["held_back"] = float(np.mean([row["local_share"] < 1 for row in own]))
        found["seconds"] = float(np.median([row["seconds"] for row in own]))
    return summary


def broken_guarantees(rows, contract):
    """Which masks of a deformed template are not what they must be.

    Args:
        rows: What `measure` returned.
        contract: `TemplateContract`.

    Returns:
        List of lines; of a U-Net, which guarantees nothing, and of a plain displacement's folding none.
    """
    if contract.transform == "none":
        return []
    broken = []
    others = [row["subject"] for row in rows if not row["template_topology"]]
    if others:
        broken.append(
            f"{len(others)} of {len(rows)} masks have another topology than the template: {_some(others)}; take a "
            "smaller data.spacing_mm, or network.diffeomorphic=true"
        )
    folded = [row["subject"] for row in rows if row["folding_voxels"]]
    if folded and contract.diffeomorphic:
        broken.append(
            f"{len(folded)} of {len(rows)} transforms fold: {_some(folded)}; raise network.volume_weight, train longer"
        )
    return broken


def pose_figures(poses):
    """What the nine parameters do over a population.

    Args:
        poses: `(volumes, 9)`.

    Returns:
        Dict: `median_det` of G, the map from image to template (1 / product of the template's scales);
        `correlations`, `(9, 9)`; `largest_correlation` of two different ones, without sign.
    """
    spread = poses.std(axis=0)
    safe = poses + np.where(spread < 1e-9, np.random.default_rng(0).normal(0, 1e-9, poses.shape), 0.0)
    correlations = np.corrcoef(safe.T)
    return {
        "median_det": float(np.median(1 / poses[:, 6:].prod(axis=1))),
        "median_parameters": dict(zip(POSE, map(float, np.median(poses, axis=0)), strict=True)),
        "correlations": [[round(float(one), 3) for one in row] for row in correlations],
        "largest_correlation": float(np.abs(correlations - np.eye(9)).max()),
    }


def _kept(rows, contract):
    if contract.transform == "none":
        share = np.mean([row["template_topology"] for row in rows])
        return f"A U-Net guarantees nothing: {100 * share:.0f} % of its masks have the template's topology."
    folds = "no transform folds" if contract.diffeomorphic else "folding is not excluded (network.diffeomorphic false)"
    return f"Kept: all {len(rows)} masks have the template's topology ({contract.topologies[0]}); {folds}."


def _some(names):
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _poses_figure(poses):
    figure, axes = new_figure(9, 6, nrows=3, ncols=3)
    for index, panel in enumerate(np.ravel(axes)):
        for population, own in poses.items():
            panel.hist(own[:, index], bins=12, alpha=0.6, label=population)
        panel.set_title(POSE[index].replace("_", " "), fontsize=9)
    np.ravel(axes)[0].legend(fontsize=8)
    return figure
