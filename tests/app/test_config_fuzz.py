"""Every key of the shipped configs with nasty values: accepted, or refused in short lines that can be printed."""

import random
from pathlib import Path

import pytest
import yaml

from app.config import load_config
from app.errors import UserError
from app.systems.fov.config import FovConfig
from app.systems.kidney.config import KidneyConfig
from app.systems.registration.config import HyperMorphConfig
from app.systems.template.config import TemplateConfig
from app.tasks.register_config import RegisterConfig
from app.tuning.config import TuneConfig
from tests.conftest import ROOT

CONFIGS = {
    "hypermorph/demo": HyperMorphConfig,
    "fov/demo": FovConfig,
    "kidney/source": KidneyConfig,
    "template/kidney": TemplateConfig,
    "tune/demo": TuneConfig,
    "register/pair": RegisterConfig,
}
# As they stand in YAML.
VALUES = [
    "", "null", "x", "'-1'", "-1", "0", "1.5", "1e308", "1e-320", ".inf", ".nan", "true", "[]", "{}", "[1, 2]",
    "{a: 1}", "1" + "0" * 25, "1" + "0" * 5200, "1000000000", "2001-13-45", "12:61:61", "!!int x", "!!bool x",
    "!!timestamp x",
    "!!python/name:os.system ''", '"a\\0b"', '"\\e[31mred"', '"two\\nlines"', '"\\u202e"', "'" + "y" * 20000 + "'",
    "[" * 100 + "]" * 100, "&a [*a]", "0x7fffffffffffffff", "=", "<<",
]  # fmt: skip
NEVER = ("1" + "0" * 25, "1" + "0" * 5200, "1000000000", ".inf", ".nan", "&a [*a]", '"a\\0b"', "[" * 100 + "]" * 100)


def leaves(values, path=()):
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*path, str(key))
        yield from leaves(value, (*path, str(key)))


@pytest.mark.parametrize("name", CONFIGS)
def test_nasty_values(name):
    """A traceback, an accepted number without bound or a line that repaints the terminal: for none of the values."""
    kind, path = CONFIGS[name], Path(ROOT, "configs", f"{name}.yaml")
    keys = [
        ".".join(item)
        for item in leaves(yaml.safe_load(path.read_text(encoding="utf-8")))
        if item[0] != "search" or len(item) < 3
    ]
    rng = random.Random(0)
    for key in keys:
        for value in (*rng.sample(VALUES, 3), *rng.sample(NEVER, 1)):
            try:
                config = load_config(kind, path, [f"{key}={value}"])
                if kind is TuneConfig:
                    config.base()
                assert value not in NEVER or (key.endswith("seed") and value == "1000000000"), (key, value)
            except UserError as error:
                for line in error.problems:
                    assert line.isprintable(), line
                    assert len(line) <= 300, line
                    assert key.split(".")[0] in line, (key, line)
