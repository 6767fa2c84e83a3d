"""Every command of README, docs and configs, from a clean clone's root: those of registration and tuning."""

from tests.commands import of_masks, run_shown


def test_every_command_shown_runs(tmp_path):
    """Who pastes a line of ours on the first day must not meet a traceback: relative paths, own files."""
    assert run_shown(tmp_path, lambda words: not of_masks(words)) > 25
