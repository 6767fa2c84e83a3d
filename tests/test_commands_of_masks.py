"""Every command of README, docs and configs, from a clean clone's root: those of regions, kidneys and templates."""

from tests.commands import of_masks, run_shown


def test_every_command_shown_runs(tmp_path):
    """See `test_commands`: apart, so that two processes can share them."""
    assert run_shown(tmp_path, of_masks) > 20
