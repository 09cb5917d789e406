"""Run one of the scripts as its user does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(script, *arguments, **options):
    """Run ``python SCRIPT ARGUMENTS``, as `python` does, in the folder where the tests run."""
    return python(ROOT / script, *arguments, **{"folder": None} | options)


def python(*arguments, folder=ROOT, environment=None, redirect="", timeout=300):
    """Run Python, its streams redirected as a user of a shell writes it, and wait for its end.

    Returns
    -------
    done : subprocess.CompletedProcess, its output as text
    """
    command = [sys.executable, *map(str, arguments)]
    if redirect:
        command = ["sh", "-c", f'exec "$0" "$@" {redirect}', *command]
    options = {"capture_output": True, "text": True, "timeout": timeout}
    return subprocess.run(command, cwd=folder, env=environment, **options)


def start(*arguments, **options):
    """Start Python, with pipes for what it writes; returns the subprocess.Popen."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, **{"cwd": ROOT} | pipes | options)


def run_jobs_here(function, jobs):
    """In the place of `sentimental.workers.run_jobs`: in this process, one after the other."""
    for number, job in enumerate(jobs):
        yield number, function(*job)
