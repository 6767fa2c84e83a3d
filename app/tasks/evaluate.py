"""Task `evaluate`: measure a trained model on test subjects, or transforms of any program on pairs."""

from app.flows.evaluate import evaluate
from app.systems.opened import open_run


def run(config, dry_run=False):
    """Measure and report: a model, what depends on its system's `question`; or the transforms of a manifest of pairs.

    Args:
        config: `EvaluateConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If anything about config, model, data or folder is wrong.
    """
    if config.pairs is not None:
        from app.tasks.evaluate_pairs import evaluate_pairs

        return evaluate_pairs(config, dry_run)
    trained = open_run(config.model)
    asked = trained.system.evaluation(trained, config)
    evaluate(trained, asked, config.output, dry_run, config.precision, config)
