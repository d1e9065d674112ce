"""Keeps freed memory in the process, where glibc would hand it back and fetch it again each step."""

from __future__ import annotations

import ctypes
import gc
import platform

# mallopt's parameters (malloc.h): blocks from this size on are mapped one by one, and this much
# free memory at the top of the heap is kept.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
LARGEST_BLOCK, KEPT = 1 << 30, 2**31 - 1


def keep_freed_memory() -> bool:
    """Tells glibc to reuse large blocks; False where the C library is another one.

    Activations are as large at every step, and each fresh mapping of one costs a page fault for
    every 4 KiB: a quarter of the time of a training step on a CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(M_TRIM_THRESHOLD, KEPT))


def give_back_freed_memory() -> None:
    """Hands back what is free, so that a peak measured next is not that of earlier work."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
