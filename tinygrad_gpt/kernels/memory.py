"""The C library's memory: kept, not given back and asked for again."""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next arrays; whether that could be arranged.

    A training step makes and drops hundreds of arrays of megabytes.  Left to itself, glibc returns such memory to the
    system at once and gets it back page by page, each cleared and mapped anew.  The process then never shrinks, so
    this is for a program to decide, not for a library.  On other C libraries nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no such function; no way to ask (Windows)
        return False
    most = 2**31 - 1
    kept: bool = mallopt(M_MMAP_THRESHOLD, most) == 1 or mallopt(M_MMAP_THRESHOLD, 2**25) == 1  # older ones: 32 MB
    kept &= mallopt(M_TRIM_THRESHOLD, most) == 1
    kept &= mallopt(M_TOP_PAD, 2**26) == 1
    return kept
