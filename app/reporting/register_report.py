"""The report of one registration."""

from app.config import config_text
from app.reporting import figures
from app.reporting.html import Report
from app.training.run_folder import environment


def write_report(config, folder, prepared, result, determinant, spacing_mm, measures, simulated):
    """Write `figures/registration.png` and `report.html`.

    Args:
        config: Resolved config.
        folder: `RunFolder`.
        prepared: Moving and fixed array `(*shape, 1)` in [0, 1].
        result: What `register_pair` returns.
        determinant: Jacobian determinant of its displacement.
        spacing_mm: Voxel size an axis.
        measures: Dict of numbers.
        simulated: Whether the model was trained on simulated images.

    Returns:
        Path of the report.
    """
    note = "The model was trained on simulated images: not for use on patients." if simulated else None
    report = Report(f"Registration: {config.moving.name} to {config.fixed.name}", folder, note)
    report.table([{"measure": key, "value": value} for key, value in measures.items() if not isinstance(value, dict)])
    pictures = (*prepared, result["moved"])
    shown = (*(picture[..., 0] for picture in pictures), result["displacement"], determinant, spacing_mm)
    figure = figures.registration_slices(*shown)
    report.figure("registration", figure, "Middle slices")
    report.heading("Config")
    report.listing(config_text(config))
    report.heading("Versions and machine")
    report.listing("\n".join(f"{key}: {value}" for key, value in environment().items()))
    return report.write()
