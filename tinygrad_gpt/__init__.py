"""A GPT written from scratch on NumPy and CuPy, with a hand-written reverse-mode autograd engine."""

__version__ = "0.1.0"
