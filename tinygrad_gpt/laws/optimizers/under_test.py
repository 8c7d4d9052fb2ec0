"""The adapter for AdamW, gradient clipping and learning-rate schedules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from tinygrad_gpt.laws.first_call import FirstCall, call_text
from tinygrad_gpt.laws.law import Area, Array
from tinygrad_gpt.laws.source import literal

Arrays = dict[str, Array]
_LAYERS = ("step", "init", "parameters")  # these three are one capability


@dataclass(frozen=True, eq=False, kw_only=True)
class OptimizerUnderTest:
    """AdamW, gradient clipping and a learning-rate schedule.  Arrays are NumPy's, by parameter name.

    init(parameters, *, lr, betas, eps, weight_decay)    a new optimizer; the laws treat it as opaque
    step(optimizer, gradients)                           one update; a name that is missing has no gradient
    parameters(optimizer)                                the parameters as they are now
    moments(optimizer)                                   name -> (m, v), if they can be seen
    state(optimizer), load(optimizer, state)             what a new optimizer needs to go on; setting it
    clip(gradients, max_norm)                            (clipped gradients, norm before)
    schedule(step, *, peak_lr, total_steps, warmup_steps, min_lr)    learning rate of a step, counted from 1

    Parameters and gradients are float64, and float32 where a law is about that; `dtypes` restricts this to one of them.
    The laws' tolerances are for float64; `rtol` is added to them, relative to the largest number of a path: 1e-5 for an
    optimizer that always computes in float32.

    `tied`: two names may be the same array, which is updated once, with the gradient under either name.  `decays`:
    which parameters weight decay applies to, "matrices" (two axes or more) or "all".  `in_place`: the arrays given to
    init are the ones that change.  `gradients`: step and clip do not change the caller's arrays ("kept"), or may write
    into them ("consumed").
    """

    area: ClassVar[Area] = "optimizer"
    name: str
    init: Callable[..., Any] | None = None
    step: Callable[[Any, Arrays], object] | None = None
    parameters: Callable[[Any], Arrays] | None = None
    moments: Callable[[Any], Mapping[str, tuple[Array, Array]]] | None = None
    state: Callable[[Any], Any] | None = None
    load: Callable[[Any, Any], object] | None = None
    clip: Callable[[Arrays, float], tuple[Arrays, float]] | None = None
    schedule: Callable[..., float] | None = None
    tied: bool = True
    decays: Literal["matrices", "all"] = "matrices"
    in_place: bool = True
    gradients: Literal["kept", "consumed"] = "kept"
    dtypes: tuple[str, ...] = ("float64", "float32")
    rtol: float = 0.0

    def __post_init__(self) -> None:
        missing = [name for name in _LAYERS if getattr(self, name) is None]
        if 0 < len(missing) < len(_LAYERS):
            raise ValueError(f"init, step and parameters come together; {', '.join(missing)} missing in {self.name!r}")
        if not self.dtypes or set(self.dtypes) - {"float64", "float32"}:
            raise ValueError(f"dtypes may hold 'float64' and 'float32', one at least; got {self.dtypes}")
        if not 0 <= self.rtol < 1:
            raise ValueError(f"rtol must be in [0, 1); got {self.rtol}")

    @property
    def capabilities(self) -> frozenset[str]:
        """The names of the given functions and of the dtypes, and "tied"."""
        there = {field.name for field in fields(self) if callable(getattr(self, field.name))}
        return frozenset(there | set(self.dtypes) | ({"tied"} if self.tied and self.step else set()))

    @property
    def first_calls(self) -> list[FirstCall]:
        """Each function on one parameter, with a new optimizer for each, since a failing step may leave it unusable."""
        w = np.array([[0.5, -1.0], [2.0, 0.25]], self.dtype)
        hyper = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 0.1, "weight_decay": 0.01}
        rates = {"peak_lr": 0.1, "total_steps": 10, "warmup_steps": 2, "min_lr": 0.01}

        def on_a_new_one(name: str, form: str, *more: Any) -> list[FirstCall]:
            function, init = getattr(self, name), self.init
            if function is None or init is None:
                return []
            source = f"sut.{name}({', '.join(['sut.init(...)', *map(literal, more)])})"
            remedy = f"its form is {name}{form}"
            return [FirstCall(name, source, lambda: function(init({"w": w.copy()}, **hyper), *more), remedy)]

        return [
            *call_text(self.init, "init", "(parameters, *, lr, betas, eps, weight_decay)", {"w": w.copy()}, **hyper),
            *on_a_new_one("step", "(optimizer, gradients)", {"w": w + 1}),
            *on_a_new_one("parameters", "(optimizer) -> name to array"),
            *on_a_new_one("moments", "(optimizer) -> name to (m, v)"),
            *on_a_new_one("state", "(optimizer)"),
            *call_text(self.clip, "clip", "(gradients, max_norm) -> (gradients, norm before)", {"w": w + 1}, 1.0),
            *call_text(self.schedule, "schedule", "(step, *, peak_lr, total_steps, warmup_steps, min_lr)", 1, **rates),
        ]

    @property
    def dtype(self) -> str:
        """The dtype for laws that are not about dtypes."""
        return "float64" if "float64" in self.dtypes else self.dtypes[0]

    @property
    def policies(self) -> Mapping[str, object]:
        """The declared choices where several are right."""
        return {"decays": self.decays, "in_place": self.in_place, "gradients": self.gradients, "rtol": self.rtol}
