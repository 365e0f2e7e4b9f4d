"""The pool of a broker without an event loop survives the death of a child that waits for work."""

from __future__ import annotations

import os
import signal
import time

from worker.pool import BlockingPool, ProcessLock


def test_a_child_that_is_killed_while_it_waits_takes_no_lock_with_it():
    pool = BlockingPool(processes=2, threads=True)
    try:
        assert pool.apply_async(os.getpid).get(timeout=10)
        time.sleep(0.2)
        for child in list(pool._pool):
            os.kill(child.pid, signal.SIGKILL)
        assert pool.apply_async(os.getpid).get(timeout=20) not in (None, os.getpid())
    finally:
        pool.terminate()
        pool.join()


def test_a_lock_is_let_go_by_the_death_of_its_holder():
    lock = ProcessLock()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        lock.acquire()
        os.write(writer, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with lock:
        pass
    os.close(reader)
    os.close(writer)
