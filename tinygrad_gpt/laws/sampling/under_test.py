"""The adapter for samplers, for whichever of its stages can be called."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tinygrad_gpt.laws.first_call import LOGITS, FirstCall, call_text
from tinygrad_gpt.laws.law import Area, Array

SETTINGS = ("temperature", "top_k", "top_p", "min_p")
_DECLARED = frozenset({*SETTINGS, "per_row"})
# Found, not declared.  "results" is any of probabilities, ids and tokens, for laws that each of them can break.
_VIEWS = frozenset({"probabilities", "draw", "ids", "uniforms", "settings", "tokens", "results"})
_MAX_TOKENS_SHOWN = 64  # number of tokens, or of u, that stand for a distribution that cannot be called


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplerUnderTest:
    """A sampler, by whichever of these functions it has.  Settings are keywords, and only those that it declares.

    probabilities(logits (B, V), **settings) -> (B, V)
    warp(logits (B, V), **settings) -> logits (B, V), whose softmax are the probabilities
    token_u(logits (V), u (N), **settings) -> ids (N): the token for each uniform number u in [0, 1)
    token(logits (V), seed, n, **settings) -> ids (n): a black box, of which only counts can be checked
    draw(p (V), u (N)) -> ids (N); without it, token_u draws from log p
    uniforms(seed, rows, positions) -> numbers in [0, 1), rows and positions broadcast
    to_unit(words of uint64) -> numbers in [0, 1); known_uniforms: (seed, row, position) -> the right number

    capabilities: those of temperature, top_k, top_p, min_p, and per_row if settings may be arrays (B).
    The fields from ties on are policies: which choice was made where several are right.  rtol widens the tolerances for
    a sampler that computes in less than float64.  errors are the exceptions that bad input must raise.
    """

    area: ClassVar[Area] = "sampling"

    name: str
    probabilities: Callable[..., Array] | None = None
    warp: Callable[..., Array] | None = None
    token_u: Callable[..., Array] | None = None
    token: Callable[..., Array] | None = None
    draw: Callable[[Array, Array], Array] | None = None
    uniforms: Callable[[int, Array, Array], Array] | None = None
    to_unit: Callable[[Array], Array] | None = None
    known_uniforms: Mapping[tuple[int, int, int], float] | None = None
    capabilities: Set[str] = frozenset()
    ties: Literal["exact", "all", "any"] = "exact"
    zero_temperature: Literal["greedy", "error"] = "greedy"
    zero_k: Literal["error", "off"] = "error"
    large_k: Literal["clamp", "error"] = "clamp"
    order: Literal["temperature first", "temperature last"] = "temperature first"
    rtol: float = 1e-12
    errors: tuple[type[Exception], ...] = (ValueError, TypeError)

    def __post_init__(self) -> None:
        unknown = set(self.capabilities) - _DECLARED - _VIEWS
        if unknown:
            allowed = ", ".join(sorted(_DECLARED))
            raise ValueError(f"capabilities of a sampler are among {allowed}; got {', '.join(map(repr, unknown))}")
        views = {
            "probabilities": self.probabilities or self.warp,
            "draw": self.draw or self.token_u,
            "ids": self.token_u or (self.draw and (self.probabilities or self.warp)),
            "uniforms": self.uniforms,
            "settings": self.settings,
        }
        views["tokens"] = self.token or (views["ids"] and self.uniforms)
        views["results"] = views["probabilities"] or views["ids"] or views["tokens"]
        if not any(given for view, given in views.items() if view != "settings"):
            raise ValueError(f"sampler {self.name!r} needs probabilities, warp, token_u, token, draw or uniforms")
        found = {view for view, given in views.items() if given}
        object.__setattr__(self, "capabilities", (frozenset(self.capabilities) & _DECLARED) | found)

    @property
    def first_calls(self) -> list[FirstCall]:
        """Each function on two rows of three logits, or on two uniform numbers."""
        p, u, places = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.75]), np.array([0, 1])
        return [
            *call_text(self.probabilities, "probabilities", "(logits (B, V)) -> (B, V)", LOGITS),
            *call_text(self.warp, "warp", "(logits (B, V)) -> logits (B, V)", LOGITS),
            *call_text(self.token_u, "token_u", "(logits (V), u (N)) -> ids (N)", LOGITS[0], u),
            *call_text(self.token, "token", "(logits (V), seed, n) -> ids (n)", LOGITS[0], 0, 3),
            *call_text(self.draw, "draw", "(p (V), u (N)) -> ids (N)", p, u),
            *call_text(self.uniforms, "uniforms", "(seed, rows, positions) -> numbers in [0, 1)", 0, places, places),
            *call_text(
                self.to_unit, "to_unit", "(words of uint64) -> numbers in [0, 1)", np.array([0, 2**63], np.uint64)
            ),
        ]

    @property
    def policies(self) -> dict[str, object]:
        """The declared choices by name."""
        names = ("ties", "zero_temperature", "zero_k", "large_k", "order")
        return {name: getattr(self, name) for name in names}

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that the sampler takes."""
        return tuple(name for name in SETTINGS if name in self.capabilities)

    def p(self, logits: Array, **settings: Any) -> Array:
        """The probabilities, (B, V) of float64; for a warp the softmax of its result."""
        if self.probabilities is not None:
            return np.asarray(self.probabilities(logits, **settings))
        assert self.warp is not None, "the law should require the capability"
        x = np.asarray(self.warp(logits, **settings), np.float64)
        weights = np.exp(x - x.max(-1, keepdims=True, initial=-np.inf))
        return weights / weights.sum(-1, keepdims=True)

    def draw_ids(self, p: Array, u: Array) -> Array:
        """The ids (N) that u (N) draws from p (V); for token_u the logits are log p, whose softmax is p."""
        if self.draw is not None:
            return np.asarray(self.draw(p, u))
        assert self.token_u is not None, "the law should require the capability"
        with np.errstate(divide="ignore"):
            return np.asarray(self.token_u(np.log(np.asarray(p, np.float64)), u))

    @property
    def slice_tolerance(self) -> float:
        """How far the ends of a slice may be off: 0, or rtol after log and softmax."""
        return 0.0 if self.draw is not None else self.rtol

    def ids(self, logits: Array, u: Array, **settings: Any) -> Array:
        """The tokens (N) for logits (V) and the uniform numbers u (N)."""
        if self.token_u is not None:
            return np.asarray(self.token_u(logits, u, **settings))
        assert self.draw is not None, "the law should require the capability"
        return np.asarray(self.draw(self.p(logits[None], **settings)[0], u))

    def tokens(self, logits: Array, seed: int, n: int, **settings: Any) -> Array:
        """n tokens drawn from logits (V) with this seed."""
        if self.token is not None:
            return np.asarray(self.token(logits, seed, n, **settings))
        assert self.uniforms is not None, "the law should require the capability"
        return self.ids(logits, np.asarray(self.uniforms(seed, 0, np.arange(n))), **settings)

    def results(self, logits: Array, **settings: Any) -> Array:
        """The sampler's result for logits (B, V): probabilities (B, V), or tokens (B, 64) for a fixed u or seed."""
        if "probabilities" in self.capabilities:
            return self.p(logits, **settings)
        if "ids" in self.capabilities:
            u = (np.arange(_MAX_TOKENS_SHOWN) + 0.5) / _MAX_TOKENS_SHOWN
            return np.array([self.ids(row, u, **settings) for row in logits])
        return np.array([self.tokens(row, 0, _MAX_TOKENS_SHOWN, **settings) for row in logits])

    def tolerance(self, law: float) -> float:
        """The law's relative tolerance, or the sampler's if that is wider."""
        return max(law, self.rtol)
