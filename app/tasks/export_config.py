"""Config of the task `export`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import TaskConfig


class ExportConfig(TaskConfig):
    """Config of the task; `output` is the servable's folder, whose next version is written."""

    output: Path = pydantic.Field(Path("runs/export"), validate_default=True)
    """Folder of the servable, whose next version is written."""
    task: Literal["export"] = "export"
    """Name of the task."""
    model: Path
    """Run folder of a trained model, or its model.keras."""
