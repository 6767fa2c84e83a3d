"""Points of a user that a mask must obey."""

import numpy as np
import pytest

from app.data.volume import Volume
from app.errors import UserError
from app.systems.template.points import check_points, read_points


def test_points_that_cannot_be_are_told(tmp_path):
    """A point outside, or two that contradict each other, would be obeyed in silence or not at all."""
    volume = Volume(np.ones((10, 10, 10)), np.diag([2.0, 2.0, 2.0, 1.0]))
    (tmp_path / "p.csv").write_text("x,y,z,inside,label\n4,4,4,1,2\n\n4.5,4,4,0,\n90,4,4,1,1\n")
    points = read_points(tmp_path / "p.csv", (1, 2))
    assert points.structures.tolist() == [1, -1, 0]
    with pytest.raises(UserError) as error:
        check_points(points, volume, 2.0)
    with pytest.raises(UserError, match="2-dimensional image"):
        check_points(points, Volume(np.ones((10, 10)), np.eye(4)), 2.0)
    file = tmp_path / "p.csv"  # whose third line is empty
    assert f"{file}, line 5: the point lies outside" in error.value.problems[0]
    assert f"{file}, line 4: contradicts {file}, line 2, 0.5 mm apart" in error.value.problems[1]
    (tmp_path / "q.csv").write_text("x,y,z,inside,label\nhere,4,4,1,1\n4,4,4,yes,1\n4,4,4,1,5\n4,4,4,1,\n")
    with pytest.raises(UserError) as error:
        read_points(tmp_path / "q.csv", (1, 2))
    said = "\n".join(error.value.problems)
    for part in (
        "line 2: x, y, z must be numbers",
        "line 3: inside must be 1 or 0",
        "line 4: label '5'",
        "line 5: label",
    ):
        assert part in said
