"""How glibc keeps memory: the daemon as little as it can without asking the kernel for every picture; a trainer all."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8  # mallopt's parameters, from malloc.h
LARGE_BYTES = 4 << 20  # a decoded picture of more than 1920x1080


def tune_heaps() -> None:
    """Has glibc share two heaps among all threads, keep room for the next pictures in them, but not for the largest.

    Left alone, it gives each of GStreamer's threads a heap: memory grew by 35 MB over the first ten reconnects. Memory
    that is given back comes again page by page, which takes longer than to convert the picture that goes there.
    """
    with suppress(OSError, AttributeError):  # another C library: it has its own ways
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, 2)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES)


def keep_all() -> None:
    """Has glibc give nothing back: a step of SGD frees what the next one needs again, page by page.

    Measured with the shipped network, 16 clips a step on one core: 33 ms a clip for 41 without.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Has glibc return what nobody needs any more: 10 to 40 MB after compiling, up to 2 after a camera's connection.

    Else each connection leaves its holes where the next does not fit in, and the daemon grows by MBs before it stops.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
