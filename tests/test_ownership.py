"""Reference counts are trusted only where they are right; test_tape.py has what the tape does with them."""

import sys

from tinygrad_gpt import ownership


def test_reference_counts_are_believed_only_where_they_were_proven(monkeypatch):
    assert ownership._counts_tell() or sys.implementation.name != "cpython" or sys.version_info >= (3, 14)
    with monkeypatch.context() as patched:
        patched.setattr(ownership, "_references", lambda arrays: 2)  # as if nobody but the list held anything
        assert not ownership._counts_tell()
    with monkeypatch.context() as patched:
        patched.setattr(ownership, "_references", lambda arrays: sys.getrefcount(arrays[-1]) - 1)
        assert not ownership._counts_tell()
    with monkeypatch.context() as patched:
        patched.setattr("sysconfig.get_config_var", lambda name: 1 if name == "Py_GIL_DISABLED" else None)
        assert not ownership._counts_tell()
    monkeypatch.delattr(sys, "getrefcount")
    assert not ownership._counts_tell()
