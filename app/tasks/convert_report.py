"""The report of a conversion."""

from app.config import config_text
from app.reporting.html import Report
from app.systems.registration import figures
from app.systems.registration.measure import jacobian


def write_report(config, folder, measures, pair, outputs):
    """Write `report.html` and, where the original was asked too, `figures/registration.png`.

    Args:
        config: Resolved config.
        folder: `RunFolder`.
        measures: Dict of what was found and measured.
        pair: Moving and fixed array `(*shape, 1)`, or None.
        outputs: The model's outputs for them, without the batch axis.

    Returns:
        Path of the report.
    """
    report = Report(f"Converted: {config.file.name}", folder)
    report.table([{"of the file": key, "value": str(value)} for key, value in measures["architecture"].items()])
    if pair:
        report.heading("Against VoxelMorph 0.2 itself")
        differences = measures["difference_from_original"]
        report.table([{"output": name, "largest difference": value} for name, value in differences.items()])
        if outputs["displacement"].shape[:-1] == pair[0].shape[:-1]:
            images = [image[..., 0] for image in (*pair, outputs["moved"])]
            spacing, field = [config.spacing_mm] * images[0].ndim, outputs["displacement"]
            figure = figures.registration_slices(*images, field, jacobian(field), spacing)
            report.figure("registration", figure, "The pair on which both were run: middle slices")
    else:
        report.text("Not compared with the original package: set verify: true to do so.")
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    return report.write()
