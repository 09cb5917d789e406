"""Worker processes: jobs on all cores, of which one whose process dies costs itself alone."""

import collections
import multiprocessing
import os
import signal
import threading
import warnings
from concurrent.futures import FIRST_COMPLETED, wait
from multiprocessing import resource_tracker

from pebble import ProcessExpired, ProcessPool

from sentimental.scripts import END_SIGNALS, check_stop

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a missing /dev/shm; `run_jobs` does without
    from joblib import cpu_count

# s between two looks whether a signal has come.
LOOK_SECONDS = 0.1
ENVIRONMENT = {
    # Bytes. glibc gives the memory of every freed array back to the system, and the next array gets
    # it anew, page by page: a third of the time. With these it is kept. Other systems ignore them.
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "67108864",
    # There is a process for each core.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # A worker that is ended leaves its locks (Keras has one) to a process of Python's that removes
    # them, and warns of it.
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}


def run_jobs(function, jobs):
    """Call a function for every job, in processes on all cores.

    Where the system has no locks between processes (a container without /dev/shm), this process
    does them all.

    Parameters
    ----------
    function : callable, of a module; what it raises is raised here, and Stopped after a signal
    jobs : iterable of tuple, its arguments

    Yields
    ------
    number : int, of the job
    result : what the function returned; None where its process died, as the system kills what
        takes too much memory
    """
    waiting, running = collections.deque(enumerate(jobs)), {}
    os.environ.update(ENVIRONMENT)
    n_workers = min(cpu_count(), max(1, len(waiting)))
    spawn = multiprocessing.get_context("spawn")
    try:
        spawn.Lock()
    except (OSError, ImportError):
        for number, arguments in waiting:
            check_stop()
            yield number, function(*arguments)
        return
    pool = ProcessPool(n_workers, initializer=_end_with_parent, context=spawn)
    try:
        _start_workers(pool)
        while waiting or running:
            check_stop()
            while waiting and len(running) < 2 * n_workers:
                number, arguments = waiting.popleft()
                running[pool.schedule(function, arguments)] = number
            for future in wait(running, LOOK_SECONDS, FIRST_COMPLETED).done:
                number, error = running.pop(future), future.exception()
                if isinstance(error, ProcessExpired):
                    check_stop()  # which may have ended the process as well
                yield number, None if isinstance(error, ProcessExpired) else future.result()
    finally:
        pool.stop()
        pool.join()


def _end_with_parent():
    """End this worker when its parent ends, whatever ends that one."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start_workers(pool):
    """Start the workers so that they never hear what a terminal sends to all: only the parent does.

    Threads and processes inherit which signals are blocked where they are started.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return
    resource_tracker.ensure_running()  # which would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*END_SIGNALS} - {signal.SIGTERM})
    try:
        pool.schedule(os.getpid)  # the first job starts them
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
