"""The adapter for training runs that are saved and resumed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from tinygrad_gpt.laws.law import Area, Array


@dataclass(frozen=True, eq=False, kw_only=True)
class CheckpointUnderTest:
    """A training run, how it is saved into a folder, and how it is loaded.  Arrays are NumPy's.

    start(seed, **config)      a new run; the same seed gives the same run
    step(run)                  the run one training step later (it may be the same object)
    save(run, folder)          write a checkpoint; the folder exists and may hold earlier ones of the same run
    load(folder, **config)     the run of the newest checkpoint, or one of `load_errors`
    observe(run)               name -> array, number or text: all that must be the same after resuming (parameters,
                               moments, step, the loss of the next batch), and nothing else

    These are required; each of the following makes more laws apply:

    batch(run)                 ids of the next batch                                          (R7)
    between                    name -> f(run), what may be done between two steps: evaluation, sampling     (R5)
    pieces(folder), remove(folder, piece)    the pieces of the newest checkpoint, and a way to remove one   (R6)
    config                     name -> (value, another value): settings that a resumed run may not change (R8); start
                               and load get the first values, as keywords
    modules                    the modules that write the files: their names `os` and `open` are replaced during a save
                               (F1 - F5); what they write in another way (pathlib, shutil) is not noticed
    verify(path)               raises one of `load_errors` unless this file is a complete checkpoint          (F5)
    checksum                   whether load notices a single flipped bit                      (F7)

    max_steps is the length of the laws' longest run; it should be more than an epoch.
    """

    area: ClassVar[Area] = "checkpoint"
    name: str
    start: Callable[..., Any]
    step: Callable[[Any], Any]
    save: Callable[[Any, Path], object]
    load: Callable[..., Any]
    observe: Callable[[Any], Mapping[str, Any]]
    batch: Callable[[Any], Array] | None = None
    between: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    pieces: Callable[[Path], Sequence[str]] | None = None
    remove: Callable[[Path, str], object] | None = None
    config: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    modules: tuple[ModuleType, ...] = ()
    verify: Callable[[Path], object] | None = None
    checksum: bool = False
    max_steps: int = 6
    load_errors: tuple[type[Exception], ...] = (ValueError, OSError)
    save_errors: tuple[type[Exception], ...] = (OSError,)

    def __post_init__(self) -> None:
        if (self.pieces is None) != (self.remove is None):
            raise ValueError(f"pieces and remove come together; one is missing in {self.name!r}")
        if self.max_steps < 3:
            raise ValueError(f"max_steps must be at least 3, for two resumes and a step; got {self.max_steps}")

    @property
    def capabilities(self) -> frozenset[str]:
        """The names of the given optional fields."""
        optional = ("batch", "between", "pieces", "config", "modules", "verify", "checksum")
        return frozenset(name for name in optional if getattr(self, name))

    @property
    def policies(self) -> Mapping[str, object]:
        """The declared choices where several are right."""
        errors = {name: "|".join(error.__name__ for error in getattr(self, name)) for name in _ERRORS}
        return {"checksum": self.checksum, **errors}


_ERRORS = ("load_errors", "save_errors")
