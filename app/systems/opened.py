"""A run folder opened again: its system, its contract, its network."""

import dataclasses
import json
from pathlib import Path

from app.config import load_config
from app.errors import UserError
from app.files import user_text
from app.systems import SYSTEMS, find_system
from app.systems.contract import Contract, read_values
from app.systems.system import System
from app.training.run_folder import RunFolder
from app.yaml_text import LARGEST, read_yaml

OLDEST = "hypermorph"  # the first contracts did not name their system


@dataclasses.dataclass(frozen=True)
class OpenRun:
    """A trained network on the disk.

    Args:
        system: Its `System`.
        folder: Its `RunFolder`.
        model_file: Its `.keras` file.
        contract: Its contract.
    """

    system: System
    folder: RunFolder
    model_file: Path
    contract: Contract

    @property
    def config_file(self):
        """The config of its training."""
        return self.folder.path / "config.yaml"

    def config(self):
        """The config of its training.

        Raises:
            UserError: If the file is missing or wrong.
        """
        if not self.config_file.is_file():
            raise UserError(f"{self.config_file}: missing; it names the cohort of the run: restore it")
        return load_config(self.system.part("config"), self.config_file)

    def predictor(self, config, precision=None):
        """Load the network.

        Args:
            config: As for `Predictor`.
            precision: "float32" or "bfloat16"; None takes that of training.

        Returns:
            The system's `Predictor`.

        Raises:
            UserError: If a file is damaged, or the contract is another model's.
        """
        from app.training.checkpoint import load_checkpoint

        model = load_checkpoint(self.model_file, precision)
        kind = type(model).__name__
        if wrong := self.contract.misfit(kind, model.get_config()):
            raise UserError(
                f"{self.model_file.with_suffix('.json')}: {wrong}; the {kind} beside it is another model: copy both "
                "from one run"
            )
        return self.system.part("predictor")(model, self.contract, config)


def open_run(path, system=None):
    """Open a run folder of today or of an earlier version.

    Args:
        path: Run folder, or a `.keras` file with its contract, a `.json`, beside it.
        system: The `System` that it must be of; None for any.

    Returns:
        `OpenRun`.

    Raises:
        UserError: If nothing was trained there, a file is damaged, or it is another system's.
    """
    path = Path(path)
    model = path / "model.keras" if path.is_dir() or path.suffix != ".keras" else path
    if not model.is_file():
        train = f"run 'python main.py {system.name} --config FILE' first" if system else "give the folder of a run"
        raise UserError(f"{model}: no trained model; {train}, or correct the path")
    contract = model.with_suffix(".json")
    name = _system_name(contract, system.name if system else OLDEST)
    if name not in SYSTEMS:
        raise UserError(f"{contract}: system: '{str(name)[:40]}' is unknown; known are {', '.join(SYSTEMS)}")
    if system is not None and name != system.name:
        raise UserError(f"{model.parent}: a model of the task {name}, not of {system.name}; give another run")
    system = system or find_system(name)
    return OpenRun(system, RunFolder(model.parent), model, system.part("contract").read(contract))


def _system_name(contract, otherwise):
    """The contract's own word, else the task of the config beside it, else what is expected."""
    name = read_values(contract).get("system")
    config = contract.with_name("config.yaml")
    if name is None and config.is_file():
        values = read_yaml(user_text(config, LARGEST, "restore it"), config)
        name = values.get("task") if isinstance(values, dict) else None
        name = name if name in SYSTEMS else None  # a converted model's
        otherwise = name or OLDEST
    return otherwise if name is None else json.dumps(name).strip('"')
