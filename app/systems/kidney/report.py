"""Report of the task `kidney`: figures by population, paired tests, the best, middle and worst volumes."""

from app.errors import naming
from app.progress import progress
from app.systems.masks.cohort import read_mask
from app.systems.masks.figures import SIMULATED, show_volumes, slices_figure
from app.systems.masks.metrics import case_row, paired, summarise, summary_line
from app.systems.steps import Evaluation


def evaluation_of(predictor, cases, history=(), counts=None, source=None):
    """Measure test volumes.

    Args:
        predictor: `KidneyPredictor`.
        cases: List of `Case`.
        history: List of dicts, one per epoch of the training.
        counts: Dict of the strategy and of numbers about the network, of a training.
        source: `KidneyPredictor` of the network that was adapted, or None.

    Returns:
        `Evaluation`.
    """
    structures = predictor.config.structures
    rows = measure(predictor, cases, structures)
    summary = summarise(rows)
    metrics = {"simulated_training": predictor.contract.simulated, **(counts or {}), **summary}
    if source is not None:
        before = measure(source, cases, structures)
        metrics["before"], metrics["gain"] = summarise(before), paired(before, rows)

    def figure(index):
        image, truth, segmented = _segmented(predictor, cases[index], structures)
        return slices_figure(image, truth[..., None], segmented.mask[..., None])

    def sections(report):
        report.text(f"Strategy: {predictor.contract.strategy}. Test volumes: mean Dice {summary_line(summary)}.")
        report.heading("Figures of the test volumes")
        report.table([{"population": name, **means} for name, means in summary.items()])
        if source is not None:
            report.heading("Against the source network, on the same volumes")
            report.table([
                {"population": name, "dice before": metrics["before"][name]["dice"], **gain}
                for name, gain in metrics["gain"].items()
            ])  # fmt: skip
        show_volumes(report, rows, figure)
        report.training(history)

    return Evaluation(
        metrics, rows, "Kidney", f"mean Dice {summary_line(summary)}", sections,
        SIMULATED if predictor.contract.simulated else None,
    )  # fmt: skip


def measure(segment, cases, structures=None):
    """Figures of volumes, each on its own grid.

    Args:
        segment: Function `(volume) -> Segmentation`.
        cases: List of `Case`.
        structures: As for `read_mask`.

    Returns:
        List of dicts, see `case_row`.

    Raises:
        UserError: If a file has been damaged since the training.
    """
    rows = []
    for case in progress(cases, "evaluating"):
        with naming(case.image, case.mask):
            image, truth, segmented = _segmented(segment, case, structures)
        rows.append(case_row(case, segmented.mask, truth, image.affine))
    return rows


def _segmented(segment, case, structures):
    image = case.volume()
    return image, read_mask(case, image, structures)[..., 0], segment(image)
