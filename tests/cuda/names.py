"""What CuPy offers, as a file: names and arguments, read from an installed CuPy (no GPU needed) and kept beside this.

python -m tests.cuda.names          writes the file anew; a test compares it with the CuPy that is installed
"""

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = Path(__file__).with_name("cupy_names.json")


def offered(cupy: ModuleType) -> dict[str, Any]:
    """CuPy's functions with their arguments (null if they cannot be told), ufuncs, other names, and ndarray's names."""
    public = {name: getattr(cupy, name) for name in sorted(dir(cupy)) if not name.startswith("_")}
    ufuncs = [name for name, thing in public.items() if isinstance(thing, cupy.ufunc)]
    values = [name for name, thing in public.items() if not callable(thing) or isinstance(thing, type)]
    functions = public.keys() - {*ufuncs, *values}
    return {
        "version": cupy.__version__,
        "functions": {name: arguments(public[name]) for name in sorted(functions)},
        "ufuncs": ufuncs,
        "ufunc": [name for name in dir(cupy.add) if not name.startswith("_")],
        "values": [name for name in values if not isinstance(public[name], ModuleType)],
        "ndarray": [name for name in dir(cupy.ndarray) if not name.startswith("_") or name.startswith("__")],
    }


def arguments(function: Any) -> list[str] | None:
    """The names of its arguments, or None if they cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters]


if __name__ == "__main__":
    import cupy  # noqa: TID251

    FILE.write_text(json.dumps(offered(cupy), indent=1) + "\n")
