"""What every measurement leaves: metrics, a table, figures, one page."""

from app.config import config_text
from app.errors import list_problems
from app.files import write_csv, write_json
from app.reporting.html import Report
from app.training.run_folder import log


def write_results(config, folder, evaluation):
    """Write `metrics.json`, the table of all rows, `report.html` and its figures.

    Args:
        config: Resolved config.
        folder: `RunFolder`.
        evaluation: `Evaluation`.

    Raises:
        UserError: If a guarantee was broken; everything has been written by then.
    """
    write_json(folder.path / "metrics.json", evaluation.metrics)
    write_csv(folder.path / evaluation.table, evaluation.rows)
    report = Report(evaluation.title, folder, evaluation.note)
    evaluation.sections(report)
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    path = report.write()
    log(evaluation.line)
    log(f"report: {path}")
    list_problems([f"{path}: {problem}" for problem in evaluation.problems])
