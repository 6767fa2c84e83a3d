"""Task `export`: write a trained model as a SavedModel for inference servers."""

from app.flows.export import export
from app.systems.opened import open_run


def run(config, dry_run=False):
    """Export and check.

    Args:
        config: `ExportConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If the model is missing or damaged.
    """
    export(open_run(config.model), config, config.output, dry_run)
