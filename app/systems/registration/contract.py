"""What is kept beside a registration network: the grid it was trained on, its hyper-parameters, its structures."""

from typing import Annotated, ClassVar

import pydantic
from pydantic.dataclasses import dataclass

from app.errors import UserError
from app.systems.contract import KEPT, Contract, Millimetres, Size
from app.systems.registration.appearance import WORDS

NETWORKS = ("HyperMorph", "VoxelMorph", "OfficialVoxelMorph")


@dataclass(**KEPT)
class RegistrationContract(Contract):
    """Kept beside the model, see `Contract`.

    Args:
        shape: Spatial shape of training.
        spacing_mm: Voxel size of training.
        hyper: Dict from hyper-parameter to its [low, high].
        best: Dict from hyper-parameter to its best value in validation; empty without labels.
        structures: Dict from label value to name.
        appearance: What the images of training look like, see `app.systems.registration.appearance`: dict from
            measure to mean and standard deviation over them; empty for runs that do not say it.
    """

    SYSTEM: ClassVar[str] = "hypermorph"
    SAYS: ClassVar[str] = "how images are prepared"
    BEFORE: ClassVar[dict] = {"background": "included"}

    shape: Annotated[list[Size], pydantic.Field(min_length=2, max_length=3)]
    spacing_mm: Annotated[list[Millimetres], pydantic.Field(min_length=2, max_length=3)]
    hyper: dict[str, Annotated[list[float], pydantic.Field(min_length=2, max_length=2)]]
    best: dict[str, float]
    structures: dict[str, str]
    appearance: dict[str, Annotated[list[float], pydantic.Field(min_length=2, max_length=2)]] = pydantic.Field(
        default_factory=dict
    )

    @pydantic.model_validator(mode="after")
    def _fits_itself(self):
        if len(self.shape) != len(self.spacing_mm):
            raise ValueError("shape and spacing_mm have different numbers of axes")
        if any(low > high for low, high in self.hyper.values()):
            raise ValueError("hyper: a range that ends before it begins")
        if not set(self.appearance) <= set(WORDS):
            raise ValueError("appearance: a measure that is not known")
        if not set(self.best) <= set(self.hyper):
            raise ValueError("best: a hyper-parameter that the model does not have")
        return self

    def misfit(self, name, config):
        """See `Contract.misfit`."""
        if name not in NETWORKS:
            return "belongs to a registration network"
        names = [hyper["name"] for hyper in config.get("hyper", [])]
        rank = len(config["architecture"]["shape"]) if "architecture" in config else config["rank"]
        if names == list(self.hyper) and rank == len(self.shape):
            return None
        expected, actual = (", ".join(listed) or "none" for listed in (self.hyper, names))
        return f"says {len(self.shape)}D images and hyper-parameters {expected}, the model takes {rank}D and {actual}"

    def hyper_vector(self, chosen):
        """Values of all hyper-parameters in the network's order.

        Args:
            chosen: Dict from name to value; what is missing takes the best value.

        Returns:
            Tuple of floats.

        Raises:
            UserError: If a name is unknown, a value outside the trained range, or nothing is known to be best.
        """
        known = ", ".join(f"{name} in [{low:g}, {high:g}]" for name, (low, high) in self.hyper.items())
        problems = [
            f"hyper.{name}: the model has no such hyper-parameter; it has {known}"
            for name in sorted(set(chosen) - set(self.hyper))
        ]
        values = {**self.best, **chosen}
        for name, (low, high) in self.hyper.items():
            if name not in values:
                problems.append(f"hyper.{name}: missing, and no best value is known; choose one in [{low:g}, {high:g}]")
            elif not low <= values[name] <= high:
                problems.append(
                    f"hyper.{name}: {values[name]:g} is outside [{low:g}, {high:g}], where the model was trained; "
                    "choose a value within"
                )
        if problems:
            raise UserError(problems)
        return tuple(float(values[name]) for name in self.hyper)
