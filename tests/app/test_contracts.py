"""Contracts: written, read, refused."""

import dataclasses
import json

import pytest

from app.errors import UserError
from app.systems.fov.contract import FovContract
from app.systems.kidney.contract import KidneyContract
from app.systems.registration.contract import RegistrationContract
from app.systems.template.contract import TemplateContract
from tests.app.hostile_model_cases import (
    CONTRACT,
)

KIDNEY = {"size": 16, "spacing_mm": 4.0, "strategy": "source", "simulated": True}


WRONG = {
    "shape": ["abc", 5, None, [10**9] * 2, [-32, 32], [], [32], [1.5, 2]],
    "spacing_mm": ["x", None, [1.0], [float("nan")] * 2, [0.0, 1.0], [1e9, 1.0]],
    "low_percentile": ["a", float("nan"), -50, None, 100],
    "high_percentile": [0, 0.5, 200, float("inf")],
    "background": ["none", 1],
    "hyper": [[1], {"lambda": [1]}, {"lambda": "ab"}, {"lambda": None}, {"lambda": [1.0, 0.0]}],
    "best": [{"lambda": 0.5}, {"lambda": "x"}, None, [1]],
    "structures": [[1, 2], {"1": 2}],
    "simulated": ["no", 1, None],
    "evil": [1],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_contracts_that_are_none(tmp_path, key, value):
    """Percentiles that are NaN gave an image of zeros and exit code 0."""
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**CONTRACT, key: value}))
    with pytest.raises(UserError, match="it belongs beside model.keras") as error:
        RegistrationContract.read(path)
    (line,) = error.value.problems
    assert len(line) - len(str(path)) < 260


@pytest.mark.parametrize("content", [b"", b"null", b"5", b'"abc"', b"[" * 10**5, b"\xff\xfe\x00{", b"{}"])
@pytest.mark.parametrize("kind", [RegistrationContract, FovContract, KidneyContract, TemplateContract])
def test_contracts_of_every_task(tmp_path, content, kind):
    """Seventeen of them ended in 'this is a fault of KerasMorph'."""
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="model.json"):
        kind.read(path)
    with pytest.raises(UserError, match="no such contract"):
        kind.read(tmp_path / "other.json")


def test_contracts_come_back(tmp_path):
    """What is written must be read, older ones too."""
    values = {**CONTRACT, "hyper": {"lambda": [0.0, 1.0]}, "best": {"lambda": 0.3}, "structures": {"3": "a"}}
    contract = read_from(tmp_path, RegistrationContract, values)
    contract = dataclasses.replace(contract, trained_on=("a", "b"), orientation="LPS")
    contract.write(tmp_path / "model.json")
    assert RegistrationContract.read(tmp_path / "model.json") == contract
    for kind, older in ((KidneyContract, KIDNEY), (FovContract, FOV), (TemplateContract, TEMPLATE)):
        contract = read_from(tmp_path, kind, older)
        contract.write(tmp_path / "model.json")
        assert kind.read(tmp_path / "model.json") == contract


FOV = {
    "size": 32, "context": 0, "simulated": True,
    "decision": {"classes": ["none", "legs", "spine"], "least_mm": 60.0, "skip": 40.0, "temperature": 1.0,
                 "sharpness": 0.5, "slope": 1.0, "shift": 0.0, "interval_share": None},
}  # fmt: skip


TEMPLATE = {
    "size": 16, "spacing_mm": 4.0, "labels": [1, 2], "transform": "local", "diffeomorphic": True, "simulated": True,
    "topologies": [{"components": 1, "tunnels": 0, "cavities": 0}] * 3,
}  # fmt: skip


def read_from(folder, kind, values):
    (folder / "model.json").write_text(json.dumps(values))
    return kind.read(folder / "model.json")


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": -1.0}, {"temperature": 1e-300}, {"classes": []}, {"classes": ["a", "a", "b"]},
        {"classes": [1, 2, 3]},
        {"least_mm": -1.0}, {"skip": 1e30}, {"sharpness": -1.0}, {"interval_share": 2.0},
    ],
)  # fmt: skip
def test_decisions_that_are_none(tmp_path, change):
    """A temperature below 0 turns the decision round: legs became pelvis, with exit code 0."""
    assert read_from(tmp_path, FovContract, FOV).size == 32
    with pytest.raises(UserError, match="model.json"):
        read_from(tmp_path, FovContract, {**FOV, "decision": {**FOV["decision"], **change}})


@pytest.mark.parametrize(
    "change",
    [
        {"labels": []}, {"labels": [0, 1]}, {"labels": [1, 1]}, {"labels": [70000, 1]}, {"labels": [1]},
        {"topologies": []},
        {"topologies": [{"components": -1, "tunnels": 0, "cavities": 0}] * 3}, {"transform": "evil"},
    ],
)  # fmt: skip
def test_templates_that_are_none(tmp_path, change):
    """Labels without a topology ended in 'this is a fault of KerasMorph' after half of the results."""
    assert read_from(tmp_path, TemplateContract, TEMPLATE).labels == (1, 2)
    with pytest.raises(UserError, match="model.json"):
        read_from(tmp_path, TemplateContract, {**TEMPLATE, **change})
    with pytest.raises(UserError, match="strategy"):
        read_from(tmp_path, KidneyContract, {**KIDNEY, "strategy": "evil"})


def test_a_model_of_another_task_is_no_model(tmp_path):
    """A kidney's network under a template's contract wrote a mask as if it were a template's."""
    fov, template = read_from(tmp_path, FovContract, FOV), read_from(tmp_path, TemplateContract, TEMPLATE)
    classifier, deformer = (
        {"size": 32, "channels": 1, "classes": 3},
        {"size": 16, "transform": "local", "structures": 2},
    )
    kidney, unet = read_from(tmp_path, KidneyContract, KIDNEY), {"filters": [4, 8], "structures": 1}
    assert fov.misfit("SliceClassifier", classifier) is None
    assert template.misfit("TemplateNetwork", deformer) is None
    assert kidney.misfit("SegmentationUNet", unet) is None
    for contract, name, config in (
        (fov, "SegmentationUNet", unet),
        *((fov, "SliceClassifier", {**classifier, key: 48}) for key in classifier),
        (template, "SegmentationUNet", {**unet, "structures": 2}),
        *((template, "TemplateNetwork", {**deformer, key: 3}) for key in deformer),
        (kidney, "SliceClassifier", classifier),
        (kidney, "SegmentationUNet", {**unet, "structures": 2}),
        (kidney, "SegmentationUNet", {"filters": [4] * 6}),
    ):
        assert "says" in contract.misfit(name, config)
