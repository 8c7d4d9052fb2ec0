"""The version, on its own, so that any module can ask for it (and the build reads it without importing anything)."""

__version__ = "0.1.0"
