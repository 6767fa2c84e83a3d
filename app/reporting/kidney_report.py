"""Report of the task `kidney`: figures by population, paired tests, the best, middle and worst volumes."""

from app.config import config_text
from app.data.mask_cohort import read_mask
from app.errors import naming
from app.files import write_csv, write_json
from app.progress import progress
from app.reporting.html import Report
from app.reporting.kidney_metrics import case_row, paired, summarise
from app.reporting.mask_figures import SIMULATED, show_volumes, slices_figure


def write_report(config, folder, contract, counts, segment, source_segment, test, history):
    """Measure the test volumes; write `metrics.json`, `volumes.csv`, figures and `report.html`.

    Args:
        config: `KidneyConfig`.
        folder: `RunFolder`.
        contract: `KidneyContract`.
        counts: Dict of numbers about the network, for `metrics.json`.
        segment: Function `(volume) -> Segmentation` of the trained network.
        source_segment: The same of the network it was adapted from, or None.
        test: List of `Case`.
        history: List of dicts, one per epoch.

    Returns:
        Path of the report.
    """
    rows = measure(segment, test, config.data.labels)
    summary = summarise(rows)
    content = {"simulated_training": contract.simulated, "strategy": config.strategy, **counts, **summary}
    report = Report("Kidney", folder, SIMULATED if contract.simulated else None)
    found = "; ".join(f"{name} {one['dice']:.3f} ({one['volumes']} volumes)" for name, one in summary.items())
    report.text(f"Strategy: {config.strategy}. Test volumes: mean Dice {found}.")
    report.heading("Figures of the test volumes")
    report.table([{"population": name, **found} for name, found in summary.items()])
    if source_segment is not None:
        before = measure(source_segment, test, config.data.labels)
        content["before"], content["gain"] = summarise(before), paired(before, rows)
        report.heading("Against the source network, on the same volumes")
        report.table([{"population": name, "dice before": content["before"][name]["dice"], **found}
                      for name, found in content["gain"].items()])  # fmt: skip
    write_json(folder.path / "metrics.json", content)
    write_csv(folder.path / "volumes.csv", rows)

    def figure(index):
        image, truth, found = _segmented(segment, test[index], config.data.labels)
        return slices_figure(image, truth[..., None], found.mask[..., None])

    show_volumes(report, rows, figure)
    report.training(history)
    report.heading("Config")
    report.listing(config_text(config))
    return report.write()


def write_evaluation(to, contract, segment, test, labels):
    """Measure volumes into a folder of its own.

    Args:
        to: Folder.
        contract: `KidneyContract`.
        segment: Function `(volume) -> Segmentation`.
        test: List of `Case`.
        labels: Values of the masks that count, or None.

    Returns:
        Dict from population to its summary.
    """
    rows = measure(segment, test, labels)
    summary = summarise(rows)
    write_json(to / "metrics.json", {"simulated_training": contract.simulated, **summary})
    write_csv(to / "volumes.csv", rows)
    return summary


def measure(segment, cases, labels=None):
    """Figures of volumes, each on its own grid.

    Args:
        segment: Function `(volume) -> Segmentation`.
        cases: List of `Case`.
        labels: Values of the masks that count, or None.

    Returns:
        List of dicts, see `case_row`.

    Raises:
        UserError: If a file has been damaged since the training.
    """
    rows = []
    for case in progress(cases, "evaluating"):
        with naming(case.image, case.mask):
            image, truth, found = _segmented(segment, case, labels)
        rows.append(case_row(case, found.mask, truth, image.affine))
    return rows


def _segmented(segment, case, labels):
    image = case.volume()
    return image, read_mask(case, image, labels and [labels])[..., 0], segment(image)
