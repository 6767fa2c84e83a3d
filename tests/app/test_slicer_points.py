"""Points of 3D Slicer."""

import numpy as np
import pytest

from app.errors import UserError
from app.systems.template.points import read_points
from tests.app.value_cases import put


def markups(system="LPS", **changes):
    import json

    points = [
        {"id": "1", "label": "F-1", "description": "", "position": [10.0, -20.0, 30.0], "positionStatus": "defined"},
        {"id": "2", "label": "F-2", "description": "outside", "position": [1, 2, 3]},
        {"id": "3", "label": "F-3", "description": "2 Inside", "position": [4, 5, 6]},
        {"id": "4", "label": "F-4", "position": [0, 0, 0], "positionStatus": "undefined"},
    ]
    points[0].update(changes)
    content = {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": points}]}
    return json.dumps(content).encode()


def fcsv(system):
    line = f"# CoordinateSystem = {system}\n" if system else ""
    return (
        f"# Markups fiducial file version = 4.11\n{line}"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "vtkMRMLMarkupsFiducialNode_0,10.0,-20.0,30.0,0,0,0,1,1,1,0,F-1,,\n"
        'vtkMRMLMarkupsFiducialNode_1,1,2,3,0,0,0,1,1,1,0,"F, two",outside,vtkMRMLScalarVolumeNode1\n'
        "\nvtkMRMLMarkupsFiducialNode_2,4,5,6,0,0,0,1,1,1,0,F-3,2 inside,\n"
    ).encode()


@pytest.mark.parametrize(("system", "ras"), [("LPS", False), ("1", False), ("lps", False), ("RAS", True), ("0", True)])
@pytest.mark.parametrize("name", ["a.mrk.json", "a.fcsv", "A.MRK.JSON", "A.FCSV"])
def test_points_of_slicer(tmp_path, capsys, name, system, ras):
    """Left for right, and front for back, if the system of coordinates is not heeded."""
    content = fcsv(system) if name.lower().endswith("fcsv") else markups(system)
    points = read_points(put(tmp_path, name, content), (2,))
    signs = np.array([1, 1, 1] if ras else [-1, -1, 1])
    np.testing.assert_array_equal(points.places, np.array([[10, -20, 30], [1, 2, 3], [4, 5, 6]]) * signs)
    assert points.inside.tolist() == [True, False, True]
    assert points.structures.tolist() == [0, 0, 0]
    if name == "a.mrk.json":
        assert "F-4: has no place yet; left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.fcsv", fcsv(None), "does not say '# CoordinateSystem"),
        ("a.fcsv", fcsv("IJK"), "in the system IJK"),
        ("a.fcsv", fcsv("LPS").replace(b"-20.0", b"here"), "x, y, z must be numbers"),
        ("a.fcsv", b"# CoordinateSystem = RAS\n", "no points"),
        ("a.mrk.json", markups("2"), "in the system 2"),
        ("a.mrk.json", markups(position=[1, 2]), "no Markups file"),
        ("a.mrk.json", markups(position=["x", "y", "z"]), "x, y, z must be numbers"),
        ("a.mrk.json", markups(position=[float("nan"), 0, 0]), "x, y, z must be numbers"),
        ("a.mrk.json", markups(description="on the border"), "is not understood"),
        ("a.mrk.json", markups(description="inside outside"), "is not understood"),
        ("a.mrk.json", markups(description="inside 7"), "label '7'"),
        ("a.mrk.json", b"[" * 100_000, "no Markups file"),
        ("a.mrk.json", b"[1, 2]", "no Markups file"),
        ("a.mrk.json", b'{"markups": [{"controlPoints": 5}]}', "no Markups file"),
        ("a.mrk.json", b" " * 2**21, "larger than 1 MB"),
        ("a.mrk.json", b"\xff\xfe", "cannot be read"),
    ],
)
def test_points_that_are_not_understood(tmp_path, name, content, words):
    """A point on the wrong side is obeyed in silence."""
    with pytest.raises(UserError) as error:
        read_points(put(tmp_path, name, content), (1, 2))
    assert words in "\n".join(error.value.problems)
