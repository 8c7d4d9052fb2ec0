"""python -m tests.without_avx512 prints what to set, so that NumPy and OpenBLAS leave AVX-512 alone; nothing if there
is none.

Most processors have AVX2 at most.  Its kernels add in another order, so the same tests find other roundings.
"""

from numpy import show_config


def settings():
    """The environment's variables, by name; none where NumPy has found no AVX-512 to use."""
    found = show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    wide = [unit for unit in found if "AVX512" in unit or unit == "X86_V4"]
    return {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": ",".join(wide)} if wide else {}


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in settings().items()))
