"""The folder of a simulated cohort: what another config left there goes."""

from pathlib import Path

from app.config import config_text
from app.files import write_text


def cohort_folder(folder, config, pattern):
    """Make a folder ready for a cohort: files of the same config stay, those of another are removed.

    Args:
        folder: Where to.
        config: Config of the cohort.
        pattern: Glob of the files that depend on it.

    Returns:
        `Path` of the folder.
    """
    folder = Path(folder)
    settings = folder / "phantoms.yaml"
    if not (settings.is_file() and settings.read_text(encoding="utf-8") == config_text(config)):
        for stale in folder.glob(pattern):
            stale.unlink()
        write_text(settings, config_text(config))
    return folder
