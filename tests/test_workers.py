"""Jobs in processes: what comes back, what a dead worker costs, what is left of them."""

import contextlib
import multiprocessing
import os
import signal
import time

import pytest
from scripts import start

from sentimental.workers import run_jobs


def double_unless(number, deadly):
    """A job whose process is killed, as the system kills what takes too much memory."""
    if number == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def wait_for_end():
    lock = multiprocessing.Lock()  # noqa: F841  (nobody is told that it is left)
    os.write(1, f"{os.getpid()}\n".encode())  # in one piece
    time.sleep(60)


def hear_terminal():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGHUP)
    return "nothing heard"


def is_running(number):
    """Whether there is a process of this number that is more than an entry in a list."""
    try:
        with open(f"/proc/{number}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_locks_between_processes_one_does_all_jobs(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refuse)
    jobs = ((n, 2) for n in range(3))
    assert [*run_jobs(pow, jobs)] == [(0, 0), (1, 1), (2, 4)]
    assert dict(run_jobs(os.getpid, [()])) == {0: os.getpid()}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("deadly", [None, 7])
def test_every_job_has_its_result_and_a_worker_that_dies_costs_its_own(deadly):
    results = list(run_jobs(double_unless, [(n, deadly) for n in range(20)]))
    assert len(results) == 20
    assert dict(results) == {n: 2 * n if n != deadly else None for n in range(20)}
    assert list(run_jobs(abs, [])) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_what_a_terminal_sends_is_for_the_parent_alone():
    assert list(run_jobs(hear_terminal, [()])) == [(0, "nothing heard")]


def test_an_error_of_a_job_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(run_jobs(divmod, [(1, 0)]))


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc here")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_workers_end_with_their_parent(name):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from sentimental.scripts import run_script\n"
        "from sentimental.workers import run_jobs\n"
        "from test_workers import wait_for_end\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(run_script(lambda: list(run_jobs(wait_for_end, [(), ()])) and None))"
    )
    parent = start("-c", code, start_new_session=True)
    worker = int(parent.stdout.readline())
    assert is_running(worker)
    # As a terminal does, to all of them; a kill is for one.
    send = os.killpg if name == "SIGINT" else os.kill
    send(parent.pid, getattr(signal, name))
    status = parent.wait(20)
    for _ in range(200):
        if not is_running(worker):
            break
        time.sleep(0.05)
    assert not is_running(worker)
    notes = parent.stderr.read()
    assert b"resource_tracker" not in notes
    if name == "SIGINT":
        assert (status, notes.strip()) == (130, b"stopped")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(parent.pid, signal.SIGKILL)
