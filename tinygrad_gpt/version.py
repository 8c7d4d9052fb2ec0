"""The version, in its own file: any module can import it, and the build reads it without an import."""

__version__ = "0.1.0"
