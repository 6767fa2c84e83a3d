"""Configs of the simulated cohorts."""

from typing import Annotated

import pydantic

from app.config import Config


class BrainsConfig(Config):
    """A simulated cohort of brains."""

    subjects: int = pydantic.Field(40, ge=2, le=100_000)
    """How many brains are simulated."""
    shape: list[Annotated[int, pydantic.Field(ge=8, le=2048)]] = pydantic.Field(
        [48, 48, 48], min_length=3, max_length=3
    )
    """Voxels along each axis; 2 mm each."""
    deformation_vox: float = pydantic.Field(1.0, ge=0, le=100)
    """Standard deviation of the velocity that deforms the anatomy, in voxels."""
    noise: float = pydantic.Field(0.03, ge=0, le=10)
    """Standard deviation of the noise, where the contrast is about 1."""
    bias: float = pydantic.Field(0.15, ge=0, le=10)
    """Strength of the smooth bias field."""
    seed: int = pydantic.Field(0, ge=0, lt=2**32)
    """Start of the random draws of the simulation."""


class BodiesConfig(Config):
    """A simulated cohort of bodies, one examination each.

    Of the examinations about a quarter shows the whole body, a fifth the spine, the rest a part.
    """

    subjects: int = pydantic.Field(240, ge=4, le=100_000)
    """How many bodies are simulated, with one examination each."""
    matrix: int = pydantic.Field(72, ge=24, le=512)
    """Voxels along each axis of a slice."""
    seed: int = pydantic.Field(0, ge=0, lt=2**32)
    """Start of the random draws of the simulation."""


class KidneysConfig(Config):
    """A simulated cohort of kidneys; the thesis' numbers (section 3.2.3) by default."""

    adults: int = pydantic.Field(503, ge=0, le=100_000)
    """How many adults (the source population) are simulated."""
    children: int = pydantic.Field(64, ge=0, le=100_000)
    """How many children (the target population) are simulated."""
    detail_mm: float = pydantic.Field(3.0, ge=1.0, le=8.0)
    """Voxel size of the simulated scans, in mm."""
    seed: int = pydantic.Field(0, ge=0, lt=2**32)
    """Start of the random draws of the simulation."""
