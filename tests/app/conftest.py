"""What tests of this folder share."""

import pytest

from app.notes import forget


@pytest.fixture(autouse=True)
def _new_command():
    """What an earlier test made a command say is said again."""
    forget()
