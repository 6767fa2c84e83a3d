"""What is kept beside a trained network: how its inputs are prepared, and what it was trained on."""

import dataclasses
import json
from typing import Annotated, ClassVar

import pydantic
from pydantic.dataclasses import dataclass

from app.data.intensity import IntensityRule
from app.errors import UserError
from app.files import write_json
from app.strangers import parse_json, regular_file

MOST_BYTES = 2**20
CHECKED = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
KEPT = {"frozen": True, "config": CHECKED, "kw_only": True}
Size = Annotated[int, pydantic.Field(ge=1, le=2048)]
Millimetres = Annotated[float, pydantic.Field(gt=0, le=1000)]
RULE = tuple(IntensityRule.model_fields)


@dataclass(**KEPT)
class Contract:
    """Base of the contracts of all systems, kept as JSON beside the model; pydantic checks them, since a model may come
    from a stranger.

    Args:
        intensity: Rule by which intensities are brought to [0, 1].
        simulated: Whether the network was trained on simulated images.
        orientation: Axes of the network's input in anatomical letters, such as "RAS"; "" for runs that do not say it.
        trained_on: Names of the subjects that the network was trained on; empty for runs that do not say it.
    """

    SYSTEM: ClassVar[str] = ""  # name of the system, a key of `app.systems.SYSTEMS`
    SAYS: ClassVar[str] = ""  # what it says, for a message
    BEFORE: ClassVar[dict] = {}  # intensity rule of runs that do not say it

    intensity: IntensityRule
    simulated: bool = False
    orientation: Annotated[str, pydantic.Field(max_length=3)] = ""
    trained_on: tuple[Annotated[str, pydantic.Field(max_length=4096)], ...] = ()

    def misfit(self, name, config):
        """What a model has that this contract does not say.

        Args:
            name: Of its class.
            config: Of its network, as Keras keeps it.

        Returns:
            Words, or None where they fit.
        """
        return None

    def write(self, path):
        """Write as JSON, with the system's name."""
        write_json(path, {"system": self.SYSTEM, **pydantic.TypeAdapter(type(self)).dump_python(self, mode="json")})

    def without_names(self):
        """The same for other people's hands: it names no subject."""
        return dataclasses.replace(self, trained_on=())

    @classmethod
    def read(cls, path):
        """Read what `write` wrote, today or before there was one `intensity`.

        Args:
            path: JSON file.

        Returns:
            The contract.

        Raises:
            UserError: If it is missing or damaged, or a value is of another kind or size than models have.
        """
        remedy = f"it belongs beside {path.with_suffix('.keras').name} and says {cls.SAYS}: copy both"
        values = read_values(path, remedy)
        values.pop("system", None)
        if "intensity" not in values:
            own = {key: values.pop(key) for key in RULE if key in values}
            values["intensity"] = {**cls.BEFORE, **own}
        try:
            return pydantic.TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))[:60] or "the whole file"
            raise UserError(f"{path}: {where}: {first['msg'][:120]}; {remedy}") from None


def read_values(path, remedy="copy model and contract from one run"):
    """The values of a contract's file, unchecked.

    Args:
        path: JSON file.
        remedy: What to do where it cannot be read.

    Returns:
        Dict.

    Raises:
        UserError: If it is missing or no JSON.
    """
    regular_file(path, "contract of a model")
    try:
        with open(path, "rb") as file:
            return parse_json(file.read(MOST_BYTES), path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
