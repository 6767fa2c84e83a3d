"""Names of conventions, for configs: nothing heavy is imported."""

from typing import Literal

Kind = Literal["itk", "ras", "voxel", "fsl", "matrix", "lta"]
