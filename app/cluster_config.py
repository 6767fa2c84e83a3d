"""Config of where many jobs run; nothing heavy is imported."""

import pydantic

from app.config import Config


class SlurmConfig(Config):
    """Workers that SLURM starts, by dask-jobqueue."""

    queue: str = pydantic.Field(min_length=1, max_length=200)
    """Queue (partition) that the workers are submitted to."""
    workers: int = pydantic.Field(8, ge=1, le=10_000)
    """How many workers, each a job of its own."""
    cores: int = pydantic.Field(1, ge=1, le=1024)
    """Cores of a worker."""
    memory_gib: float = pydantic.Field(4.0, gt=0, le=10_000)
    """Memory of a worker."""
    walltime: str = pydantic.Field("04:00:00", pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")
    """After which SLURM ends a worker; what it was at is done again by another."""
    account: str | None = None
    """Account that is charged, where SLURM asks for one."""


class ClusterConfig(Config):
    """Where the pairs of a manifest are worked on: processes of this machine, or workers of Dask."""

    workers: int | None = pydantic.Field(None, ge=1, le=1024)
    """Processes of this machine; by default as many as it has cores."""
    scheduler: str | None = pydantic.Field(None, pattern=r"^(tcp|tls|ws|wss|inproc|ucx)://.+")
    """Address of a scheduler of Dask that is running, such as tcp://10.0.0.1:8786; its workers see the same files."""
    slurm: SlurmConfig | None = None
    """A SLURM queue: workers are submitted to it, and ended with the command."""
    timeout_seconds: float = pydantic.Field(30.0, gt=0, le=86_400)
    """How long an answer of the scheduler is waited for."""

    @pydantic.model_validator(mode="after")
    def _one_place(self):
        if sum(place is not None for place in (self.workers, self.scheduler, self.slurm)) > 1:
            raise ValueError("workers, scheduler and slurm: three places to work at; name one")
        return self
