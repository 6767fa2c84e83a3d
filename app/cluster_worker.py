"""What does one job after another: a process of this machine, fed by lines of JSON, or a worker of Dask."""

import json
import os
import sys
import traceback

from app.errors import UserError
from app.modules import imported
from app.notes import forget
from app.parent import watch_parent


def do(function, job):
    """Do a job.

    Args:
        function: `module:function`.
        job: Dict.

    Returns:
        What the function returns; `{"problems": [...]}` where a user can mend what is wrong.
    """
    forget()
    try:
        return imported(function)(job)
    except UserError as error:
        return {"problems": error.problems}
    except Exception as error:
        traceback.print_exc()
        return {
            "problems": [f"internal error of KerasMorph ({type(error).__name__}: {str(error)[:200]}); please report it"]
        }


def main():
    """Jobs from standard input, results to standard output; what the jobs print goes to standard error."""
    watch_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        result = json.dumps(do(sys.argv[1], json.loads(line)))
        print(result, file=answers, flush=True)


if __name__ == "__main__":
    main()
