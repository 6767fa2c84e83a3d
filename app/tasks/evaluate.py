"""Task `evaluate`: measure a trained model on test subjects."""

from app.flows.evaluate import evaluate
from app.systems.opened import open_run


def run(config, dry_run=False):
    """Measure and report; what is measured depends on the model's system, see its `question`.

    Args:
        config: `EvaluateConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If anything about config, model, data or folder is wrong.
    """
    trained = open_run(config.model)
    asked = trained.system.evaluation(trained, config)
    evaluate(trained, asked, config.output, dry_run, config.precision, config)
