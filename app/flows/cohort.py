"""Many pairs of a manifest: worked on by the cluster, each result written as it comes, done pairs left alone."""

import json
from pathlib import Path

from app.cluster import run_jobs
from app.errors import UserError
from app.files import write_json
from app.progress import progress
from app.training.run_folder import log

DONE = "done.json"
MOST_LINES = 20


def run_cohort(function, jobs, folder, cluster, what):
    """Do the jobs that are not done yet.

    A job that is done leaves `done.json` in its folder, written last, with the job itself: an interrupted command that
    is rerun does what is left, and what has another job now.

    Args:
        function: As for `run_jobs`; it is called by `do_and_keep`.
        jobs: Dict from name to dict; a job's results are in the folder `pairs/NAME`.
        folder: `RunFolder`, open.
        cluster: `ClusterConfig`.
        what: What is done, for progress and log.

    Returns:
        Dict from name to result of those that are done, in the order of `jobs`, and list of problems of the others.

    Raises:
        UserError: If the cluster cannot be used.
    """
    results = {name: known for name, job in jobs.items() if (known := _kept(folder, name, job)) is not None}
    if results:
        log(f"{len(results)} of {len(jobs)} pairs are done already")
    names, problems = [name for name in jobs if name not in results], []
    work = [{"function": function, "job": jobs[name], "folder": str(folder.path / "pairs" / name)} for name in names]
    answers = run_jobs("app.flows.cohort:do_and_keep", work, cluster, folder.path / "workers") if work else ()
    for place, answer in progress(answers, what, len(work)):
        name = names[place]
        if "problems" in answer:
            problems += [f"{name}: {problem}" for problem in answer["problems"]]
            log(f"{name}: failed: {answer['problems'][0]}")
        else:
            results[name] = answer
            log(f"{name}: done ({len(results)} of {len(jobs)})")
    return {name: results[name] for name in jobs if name in results}, problems


def list_failures(problems, folder):
    """Raise what failed, at most so many lines.

    Args:
        problems: List of lines.
        folder: `RunFolder`, whose log has all.

    Raises:
        UserError: If there are any.
    """
    if problems:
        more = (
            [f"{folder.path / 'log.txt'}: has {len(problems) - MOST_LINES} more"] if len(problems) > MOST_LINES else []
        )
        raise UserError([*problems[:MOST_LINES], *more])


def do_and_keep(work):
    """Do a job, and leave its result in its folder.

    Args:
        work: Dict of the `function`, its `job` and the `folder`.

    Returns:
        The result.
    """
    from app.modules import imported

    result = imported(work["function"])(work["job"])
    write_json(Path(work["folder"]) / DONE, {"job": work["job"], "result": result})
    return result


def _kept(folder, name, job):
    """Result of an earlier command for the same job, or None."""
    try:
        kept = json.loads((folder.path / "pairs" / name / DONE).read_text(encoding="utf-8"))
        return kept["result"] if kept["job"] == json.loads(json.dumps(job)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
