"""What a model file must be told along with: how its images are prepared, and what it found."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic.dataclasses import dataclass

from app.data.intensity import IntensityRule
from app.errors import UserError
from app.files import write_json
from app.strangers import regular_file

MOST_BYTES = 2**20
CHECKED = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
Size = Annotated[int, pydantic.Field(ge=1, le=2048)]
Millimetres = Annotated[float, pydantic.Field(gt=0, le=1000)]
Percentile = Annotated[float, pydantic.Field(ge=0, le=100)]
Background = Literal["excluded", "included"]


class KeptContract:
    """What the contracts of all tasks have in common: they are dataclasses, kept as JSON beside the model.

    Pydantic checks them, since a model may come from a stranger: see `read`.
    """

    TELLS = ""  # what it tells, for the message

    @property
    def intensity_rule(self):
        """`IntensityRule` by which the network's images were prepared."""
        return IntensityRule(**{name: getattr(self, name) for name in IntensityRule.model_fields})

    def misfit(self, name, config):
        """What a model has that this contract does not tell of.

        Args:
            name: Of its class.
            config: Of its network, as Keras keeps it.

        Returns:
            Words, or None where they fit.
        """
        return None

    def write(self, path):
        """Write as JSON."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, path):
        """Read what `write` wrote.

        Args:
            path: JSON file.

        Returns:
            The contract.

        Raises:
            UserError: If it is missing or damaged, or a value is of another kind or size than models have.
        """
        remedy = f"it belongs beside {path.with_suffix('.keras').name} and tells {cls.TELLS}: copy both"
        regular_file(path, "contract of a model")
        try:
            with open(path, "rb") as file:
                content = file.read(MOST_BYTES)
            contract = pydantic.TypeAdapter(cls).validate_json(content, strict=True)
            contract.intensity_rule  # noqa: B018 - checks that the percentiles are in order
            return contract
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))[:60] or "the whole file"
            raise UserError(f"{path}: {where}: {first['msg'][:120]}; {remedy}") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None


@dataclass(frozen=True, config=CHECKED)
class Contract(KeptContract):
    """The rule by which images were prepared in training, kept beside the model.

    Args:
        low_percentile: See `IntensityRule`.
        high_percentile: Likewise.
        shape: Spatial shape of training.
        spacing_mm: Voxel size of training.
        hyper: Dict from hyper-parameter to its [low, high].
        best: Dict from hyper-parameter to the value found best in validation; empty
            without labels.
        structures: Dict from label value to name.
        simulated: Whether the model was trained on simulated images.
        background: See `IntensityRule`; "included" for older runs, which do not say it.
    """

    low_percentile: Percentile
    high_percentile: Percentile
    shape: Annotated[list[Size], pydantic.Field(min_length=2, max_length=3)]
    spacing_mm: Annotated[list[Millimetres], pydantic.Field(min_length=2, max_length=3)]
    hyper: dict[str, Annotated[list[float], pydantic.Field(min_length=2, max_length=2)]]
    best: dict[str, float]
    structures: dict[str, str]
    simulated: bool = False
    background: Background = "included"

    @pydantic.model_validator(mode="after")
    def _fits_itself(self):
        if len(self.shape) != len(self.spacing_mm):
            raise ValueError("shape and spacing_mm have different numbers of axes")
        if any(low > high for low, high in self.hyper.values()):
            raise ValueError("hyper: a range that ends before it begins")
        if not set(self.best) <= set(self.hyper):
            raise ValueError("best: a hyper-parameter that the model does not have")
        return self

    TELLS = "how images are prepared"

    def hyper_vector(self, chosen):
        """Values of all hyper-parameters in the network's order.

        Args:
            chosen: Dict from name to value; what is missing takes the best value found.

        Returns:
            Tuple of floats.

        Raises:
            UserError: If a name is unknown, a value outside the trained range, or nothing
                is known to be best.
        """
        unknown = sorted(set(chosen) - set(self.hyper))
        problems = [
            f"hyper.{name}: the model has no such hyper-parameter; it has {_ranges(self.hyper)}" for name in unknown
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


def find_model(path):
    """The model file and its contract, before anything heavy is loaded.

    Args:
        path: Run folder, or a `.keras` file with its `.json` beside it.

    Returns:
        Path of the `.keras` file, and the `Contract`.

    Raises:
        UserError: If either is missing or damaged.
    """
    path = Path(path)
    model = path / "model.keras" if path.is_dir() else path
    if not model.is_file():
        raise UserError(
            f"{model}: no such model; give the folder of a finished hypermorph run, or a .keras file of one"
        )
    return model, Contract.read(model.with_suffix(".json"))


def _ranges(hyper):
    return ", ".join(f"{name} in [{low:g}, {high:g}]" for name, (low, high) in hyper.items())
