"""What tests of this folder share."""

import numpy as np
import pytest
import yaml


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 4)).astype("float32")
    y = np.sin(x[:, :1])
    return {"x": x[:64], "y": y[:64], "validation_data": (x[64:], y[64:]), "batch_size": 16, "verbose": 0}


@pytest.fixture
def search_config(phantoms, tmp_path):
    """Write a config of a small search: `(name, **search) -> path`."""

    def write(name="search", task=(), **search):
        values = {
            "task": "hypermorph",
            "output": str(tmp_path / name),
            "data": {"cohort": str(phantoms), "split": {"train": 4, "validate": 2, "test": 2}, "pairs": 2},
            "network": {
                "features": "images",
                "encoder": [4, 8],
                "decoder": [8, 4],
                "final": [4],
                "units": 4,
                "depth": 1,
                "integration_steps": 0,
            },
            "objective": {"similarity": "mse"},
            "training": {"epochs": 2, "steps": 2, "validate_pairs": 1},
            "search": {
                "method": "random",
                "trials": 3,
                "space": {
                    "training.learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"},
                    "network.encoder": {"choices": [[4, 8], [4, 4]]},
                    "network.units": {"low": 2, "high": 8},
                },
            },
        }
        values["search"] |= search
        values |= dict(task)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write
