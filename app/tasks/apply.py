"""Task `apply`: move images, labels, points and surfaces by transforms of any program, of one list or of a manifest."""

from app.tasks.apply_one import apply_one
from app.tasks.apply_pairs import apply_pairs


def run(config, dry_run=False):
    """Move what the config names, or the moving sides of a manifest's pairs.

    Args:
        config: `ApplyConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: As `apply_one`, `apply_pairs`.
    """
    return (apply_one if config.pairs is None else apply_pairs)(config, dry_run)
