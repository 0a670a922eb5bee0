"""Two pools of threads, shared by the whole process: compiled kernels and device work release the interpreter's lock.

Tasks of `kernel_pool` wait for nothing, so that tasks of `row_pool`, which wait for them, always go on.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

THREADS = min(os.cpu_count() or 1, 16)


@functools.cache
def kernel_pool() -> ThreadPoolExecutor:
    """For parts of a step's work that wait for no other task."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="structdiff-kernel")


@functools.cache
def row_pool() -> ThreadPoolExecutor:
    """For rows of a batch; they may wait for tasks of `kernel_pool`."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="structdiff-row")


if hasattr(os, "register_at_fork"):  # the threads stay behind in the parent: a forked child starts its own
    os.register_at_fork(after_in_child=kernel_pool.cache_clear)
    os.register_at_fork(after_in_child=row_pool.cache_clear)
