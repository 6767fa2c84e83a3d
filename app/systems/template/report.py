"""Report of the task `template`: figures by population, what is guaranteed, poses, best, middle and worst volumes."""

import time

import numpy as np

from app.errors import naming
from app.progress import progress
from app.reporting.figures import new_figure
from app.systems.masks.cohort import read_mask
from app.systems.masks.figures import SIMULATED, show_volumes, slices_figure
from app.systems.masks.metrics import FIGURES, case_row, summarise, summary_line
from app.systems.steps import Evaluation
from app.systems.template.shape import faults
from segmentation.template import structures_of

POSE = (
    "translation_i", "translation_j", "translation_k", "angle_i", "angle_j", "angle_k", "scale_i", "scale_j", "scale_k",
)  # fmt: skip


def evaluation_of(predictor, cases, template, history=(), poses=None):
    """Measure test volumes, and whether the masks are what is guaranteed.

    Args:
        predictor: `Segmenter`.
        cases: List of `Case`.
        template: `Template` of the run; one that was learned differs from the one that training was begun with.
        history: List of dicts, one per epoch of the training.
        poses: Dict from population to `(volumes, 9)`: of the training volumes; None of an evaluation.

    Returns:
        `Evaluation`.
    """
    contract, config = predictor.contract, predictor.config
    rows = measure(predictor, cases)
    summary = summarise_template(rows)
    broken = [*faults(template, config, config.output / "template.nii.gz"), *broken_guarantees(rows, contract)]
    metrics = {"simulated_training": contract.simulated}
    if poses is not None:
        weights = sum(int(np.prod(weight.shape)) for weight in predictor.model.trainable_weights)
        metrics |= {"transform": contract.transform, "weights": weights}
    metrics |= summary
    if poses is not None:
        metrics["template"] = [str(topology) for topology in contract.topologies]
    metrics["guarantees_broken"] = broken
    own_poses = np.concatenate(list(poses.values())) if poses else []
    if len(own_poses) > 2:
        metrics["pose"] = pose_figures(own_poses)

    def figure(index):
        image = cases[index].volume()
        masks = structures_of(predictor(image).mask, contract.labels)
        return slices_figure(image, read_mask(cases[index], image, config.structures), masks)

    def sections(report):
        report.text(f"Transform: {contract.transform}. Test volumes: mean Dice {summary_line(summary)}.")
        report.heading("Guarantees")
        report.text("FAILED: " + "; ".join(broken) if broken else _kept(rows, contract))
        report.heading("Figures of the test volumes")
        report.table([{"population": name, **means} for name, means in summary.items()])
        if "pose" in metrics:
            _pose_section(report, metrics["pose"], poses)
        show_volumes(report, rows, figure)
        report.training(history)

    return Evaluation(
        metrics, rows, "Template deformation", f"mean Dice {summary_line(summary)}", sections,
        SIMULATED if contract.simulated else None, tuple(broken),
    )  # fmt: skip


def _pose_section(report, figures, poses):
    report.heading("Poses of the template in the training volumes")
    report.text(
        f"Median of det(G): {figures['median_det']:.3f}; largest correlation of two parameters "
        f"{figures['largest_correlation']:.2f}."
    )
    report.figure("poses", _poses_figure(poses), "Distribution of the nine parameters.")
    matrix = np.array(figures["correlations"])
    report.table([
        {"": name, **{other: f"{matrix[i, j]:.2f}" for j, other in enumerate(POSE)}} for i, name in enumerate(POSE)
    ])  # fmt: skip


def measure(segment, cases):
    """Figures of volumes, each on its own grid.

    Args:
        segment: `Segmenter`.
        cases: List of `Case`.

    Returns:
        List of dicts: as `app.systems.masks.metrics.case_row`, means over the structures; and `topology`, whether it is
        the template's, `folding_voxels`, `local_share`, `seconds`, the pose.

    Raises:
        UserError: If a file has been damaged since the training.
    """
    rows, contract = [], segment.contract
    for case in progress(cases, "evaluating"):
        with naming(case.image, case.mask):
            image = case.volume()
            truth = read_mask(case, image, segment.config.structures)
            began = time.perf_counter()
            segmented = segment(image)
            seconds = time.perf_counter() - began
        row = _means_of_structures(case, segmented, truth, image, contract)
        row |= {
            "topology": "; ".join(map(str, segmented.topologies)), "template_topology": segmented.right,
            "folding_voxels": segmented.folding, "local_share": segmented.local_share, "seconds": round(seconds, 3),
        }  # fmt: skip
        row |= dict(zip(POSE, segmented.pose or [None] * 9, strict=True))
        rows.append(row)
    return rows


def _means_of_structures(case, segmented, truth, image, contract):
    each = [
        case_row(case, segmented.mask == label, truth[..., index], image.affine, min(4.0, contract.spacing_mm))
        for index, label in enumerate(contract.labels)
    ]
    row = dict(each[0])
    for name in (*FIGURES, "volume_ml", "true_volume_ml"):
        values = [structure[name] for structure in each]
        row[name] = None if None in values else float(np.mean(values))
    if len(each) > 1:  # errors of several structures must not make up for each other
        row["volume_error_ml"] = float(np.mean([abs(structure["volume_error_ml"]) for structure in each]))
    row["components"] = float(np.mean([topology.components for topology in segmented.topologies[: len(each)]]))
    if len(each) > 1:
        row |= {f"dice_{label}": structure["dice"] for label, structure in zip(contract.labels, each, strict=True)}
    return row


def summarise_template(rows):
    """Means by population, as `app.systems.masks.metrics.summarise`, and shares of masks.

    Args:
        rows: What `measure` returned.

    Returns:
        Dict from population to dict: also `template_topology`, share of the masks that have it; `folding`, share of
        the volumes with any; `held_back`, share whose local deformation was not kept whole; `seconds`, the median.
    """
    summary = summarise(rows)
    for population, means in summary.items():
        own = [row for row in rows if row["population"] == population]
        means["template_topology"] = float(np.mean([row["template_topology"] for row in own]))
        means["folding"] = float(np.mean([bool(row["folding_voxels"]) for row in own]))
        means["held_back"] = float(np.mean([row["local_share"] < 1 for row in own]))
        means["seconds"] = float(np.median([row["seconds"] for row in own]))
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
        "correlations": [[round(float(number), 3) for number in row] for row in correlations],
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
