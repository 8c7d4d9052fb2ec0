"""The mutant zoo: small broken objects, each re-enacting a published bug.

A suite of laws is worth what it kills: every mutant is named by the laws that must break it, and every law names one.
To add an area, import its tuple and give it a line in MUTANTS.
"""

from tinygrad_gpt.laws.catalogue import LAWS
from tinygrad_gpt.laws.law import Area, Law, LawBroken
from tinygrad_gpt.laws.mutants.around_optimizers import AROUND_MUTANTS
from tinygrad_gpt.laws.mutants.data import DATA_MUTANTS
from tinygrad_gpt.laws.mutants.engine import ENGINE_MUTANTS
from tinygrad_gpt.laws.mutants.losses import LOSS_MUTANTS
from tinygrad_gpt.laws.mutants.model import MODEL_MUTANTS
from tinygrad_gpt.laws.mutants.mutant import Mutant as Mutant
from tinygrad_gpt.laws.mutants.ops import OP_MUTANTS
from tinygrad_gpt.laws.mutants.optimizers import ADAMW_MUTANTS
from tinygrad_gpt.laws.mutants.sampling import SAMPLER_MUTANTS

MUTANTS: dict[Area, tuple[Mutant, ...]] = {
    "ops": OP_MUTANTS,
    "engine": ENGINE_MUTANTS,
    "model": MODEL_MUTANTS,
    "sampling": SAMPLER_MUTANTS,
    "loss": LOSS_MUTANTS,
    "optimizer": ADAMW_MUTANTS + AROUND_MUTANTS,
    "data": DATA_MUTANTS,
}
EVERY: tuple[Mutant, ...] = tuple(mutant for mutants in MUTANTS.values() for mutant in mutants)


def killers(mutant: Mutant) -> tuple[Law, ...]:
    """The laws that must kill the mutant."""
    return tuple(law for law in LAWS[mutant.sut.area] if mutant.name in law.mutants)


def kills(law: Law, mutant: Mutant, profile: str = "mutants") -> bool:
    """Whether the law is broken by the mutant."""
    try:
        law.check(mutant.sut, profile)
    except LawBroken:
        return True
    return False


def matrix(area: Area, profile: str = "mutants") -> str:
    """Every mutant of an area against every law that applies, as a Markdown table (minutes).

    ● killed by a law that names it, • killed by another, ! a law that should kill it and does not.
    """
    laws = LAWS[area]
    lines = ["| mutant | " + " | ".join(law.id for law in laws) + " |", "| --- |" + " --- |" * len(laws)]
    for mutant in MUTANTS[area]:
        lines.append(f"| {mutant.name} | " + " | ".join(mark(law, mutant, profile) for law in laws) + " |")
    return "\n".join(lines) + "\n"


def mark(law: Law, mutant: Mutant, profile: str) -> str:
    """One cell of the matrix."""
    named = mutant.name in law.mutants
    dead = law.applies_to(mutant.sut) and kills(law, mutant, profile)
    return ("●" if dead else "!") if named else ("•" if dead else "")
