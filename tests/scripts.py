"""Run one of the scripts as its user does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(script, *arguments, folder=None, environment=None, timeout=300):
    """Run ``python SCRIPT ARGUMENTS`` and wait for its end.

    Returns
    -------
    done : subprocess.CompletedProcess, its output as text
    """
    return subprocess.run(
        [sys.executable, ROOT / script, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_jobs_here(function, jobs):
    """In the place of `sentimental.workers.run_jobs`: in this process, one after the other."""
    for number, job in enumerate(jobs):
        yield number, function(*job)
