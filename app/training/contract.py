"""What a model file must be told along with: how its images are prepared, and what it found."""

import dataclasses
import json
from pathlib import Path

from app.data.intensity import IntensityRule
from app.errors import UserError
from app.files import write_json


class KeptContract:
    """What the contracts of all tasks have in common: they are dataclasses, kept as JSON beside the model."""

    TELLS = ""  # what it tells, for the message

    @property
    def intensity_rule(self):
        """`IntensityRule` by which the network's images were prepared."""
        return IntensityRule(**{name: getattr(self, name) for name in IntensityRule.model_fields})

    def write(self, path):
        """Write as JSON."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def from_values(cls, values):
        """From what a JSON file holds."""
        return cls(**values)

    @classmethod
    def read(cls, path):
        """Read what `write` wrote.

        Args:
            path: JSON file.

        Returns:
            The contract.

        Raises:
            UserError: If it is missing or damaged.
        """
        try:
            return cls.from_values(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path}: cannot be read ({' '.join(str(error).split())[:120]}); it belongs beside "
                f"{path.with_suffix('.keras').name} and tells {cls.TELLS}: copy both"
            ) from None


@dataclasses.dataclass(frozen=True)
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

    low_percentile: float
    high_percentile: float
    shape: list
    spacing_mm: list
    hyper: dict
    best: dict
    structures: dict
    simulated: bool = False
    background: str = "included"

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
