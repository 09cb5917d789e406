"""Worker processes: jobs on all cores, of which one that is killed costs itself alone.

The pool of joblib ends with its first dead worker, gives back nothing of what the others did, and
its workers outlive a script that is killed.
"""

import collections
import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from joblib import cpu_count

from sentimental.scripts import END_SIGNALS, hold_signals

# s between two looks whether a signal has come.
LOOK_SECONDS = 0.1
# Most that Windows can wait for.
MOST_WORKERS = 60
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
    # The workers are ended as they are, and what Keras leaves of them is cleaned up. The process
    # that does so would tell it.
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}


def run_jobs(function, jobs):
    """Call a function for every job, in processes on all cores.

    When a worker dies (the system kills what takes too much memory), all that were being done are
    suspects: each is done again, alone. The one whose process dies again has no result.

    Parameters
    ----------
    function : callable, of a module
    jobs : iterable of tuple, its arguments

    Yields
    ------
    number : int, of the job
    result : what the function returned; None where the process died
    """
    waiting, suspects = collections.deque(enumerate(jobs)), []
    while waiting or suspects:
        alone = bool(suspects)
        todo = collections.deque([suspects.pop()]) if alone else waiting
        n_workers = 1 if alone else min(cpu_count(), MOST_WORKERS, len(todo))
        begun = {}
        try:
            with _open_pool(n_workers) as pool:
                while todo or begun:
                    while todo and len(begun) < 2 * n_workers:
                        with hold_signals(), _deaf_children():
                            future = pool.submit(function, *todo[0][1])
                        begun[future] = todo.popleft()
                    # A signal in one of these would leave a lock taken that the pool waits for.
                    with hold_signals():
                        done = wait(begun, LOOK_SECONDS, FIRST_COMPLETED).done
                    for future in done:
                        number, _ = begun[future]
                        with hold_signals():
                            result = future.result()
                        del begun[future]
                        yield number, result
        except BrokenProcessPool:
            if alone:
                ((number, _),) = begun.values() or todo
                yield number, None
            else:
                suspects = [*begun.values()]


@contextlib.contextmanager
def _open_pool(n_workers):
    """A pool that never waits for its workers at the end: what they still do, nobody wants."""
    os.environ.update(ENVIRONMENT)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, context, _begin_worker)
    try:
        yield pool
    finally:
        for process in multiprocessing.active_children():
            process.kill()
        pool.shutdown(cancel_futures=True)


def _begin_worker():
    """End with the parent, whatever ends that one."""
    parent = multiprocessing.parent_process()

    def watch():
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if os.name == "nt":
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _deaf_children():
    """Let processes that are started here ignore Ctrl-C and the like, which are for the parent.

    A terminal sends them to all processes. Nothing is lost: the parent hears of them right after.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*END_SIGNALS} - {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
