"""Let the C library reuse freed memory, instead of returning it to the system."""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next arrays.  Returns whether the C library can do that.

    A training step makes and frees hundreds of arrays of megabytes.  By default glibc returns such memory to the system
    at once, and gets it back page by page, each cleared and mapped again.  After this call the process never shrinks,
    so a program should decide it, not a library.  With other C libraries nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no such function, or no C library to load (Windows)
        return False
    most = 2**31 - 1
    kept: bool = mallopt(M_MMAP_THRESHOLD, most) == 1 or mallopt(M_MMAP_THRESHOLD, 2**25) == 1  # older ones: 32 MB
    kept &= mallopt(M_TRIM_THRESHOLD, most) == 1
    kept &= mallopt(M_TOP_PAD, 2**26) == 1
    return kept
