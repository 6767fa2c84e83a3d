"""Small configs of the task `template`, and settings that change nothing."""

from types import SimpleNamespace

import yaml

PLAIN = SimpleNamespace(refinement_steps=0, largest_component=False, surface="none")
SMALL = {
    "data": {"size": 16, "spacing_mm": 14.0, "split": {"train": 0.5, "validate": 0.25, "test": 0.25}},
    "template": {"subjects": 4},
    "network": {"filters": [2, 3, 4]},
    "training": {"epochs": 2, "batch_size": 2, "learning_rate": 5e-3, "validate_every": 1},
}


def config_writer(cohort, folder):
    """Function `(name, **changes) -> path` that writes a small config into a folder, its `folder`."""

    def write(name, **changes):
        content = {"task": "template", "output": str(folder / name)}
        for key, values in SMALL.items():
            content[key] = {**values, **changes.pop(key, {})}
        content["data"].setdefault("cohort", str(cohort))
        content |= changes
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    write.folder = folder
    return write
