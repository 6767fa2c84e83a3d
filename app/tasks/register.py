"""Task `register`: register two image files, or the pairs of a manifest, with a trained model or without."""

from app.tasks.register_pair import register_pair
from app.tasks.register_pairs import register_pairs


def run(config, dry_run=False):
    """Register one pair, or those of a manifest.

    Args:
        config: `RegisterConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: As `register_pair`, `register_pairs`.
    """
    return (register_pair if config.pairs is None else register_pairs)(config, dry_run)
