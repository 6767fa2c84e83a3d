"""How a refusal looks."""


def assert_refused(done, words):
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert lines, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert any(word in line for line in lines), lines
