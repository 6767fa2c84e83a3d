"""Every command of README, docs and configs, from a clean clone's root."""

import json
import os
import subprocess
import sys

from tests.commands import NOT_RUN, prepare_clone, shown_commands, to_run, write_users_files

# A template trained for one epoch may break its own guarantee: the report is written, and the command says so.
VERDICT = "have another topology than the template"


def test_every_command_shown_runs(tmp_path):
    """Who pastes a line of ours on the first day must not meet a traceback: relative paths, own files."""
    clone = prepare_clone(tmp_path)
    write_users_files(clone)
    shown = {words: file for words, file in shown_commands().items() if words not in NOT_RUN}
    assert len(shown) > 50
    asked, answered = tmp_path / "asked.json", tmp_path / "answered.json"
    # The demo's run comes first: other pages take its files.
    commands = sorted(shown, key=lambda words: words != ("make", "demo"))
    asked.write_text(json.dumps([to_run(words) for words in commands]))
    child = [sys.executable, "-m", "tests.commands", str(asked), str(answered)]
    environment = {name: value for name, value in os.environ.items() if name != "KERASMORPH_DATA"}
    done = subprocess.run(child, cwd=clone, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(answered.read_text())
    print(f"{len(commands)} commands in {sum(result['seconds'] for result in results):.0f} s")
    failed = [
        f"{shown[words]}: {' '.join(words)}\n  exit code {result['code']}: {result['printed'][-600:]}"
        for words, result in zip(commands, results, strict=True)
        if result["code"] != 0 and not (words[2] == "template" and VERDICT in result["printed"])
    ]
    assert not failed, "\n".join(failed)
