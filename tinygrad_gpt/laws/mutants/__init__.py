"""The mutant zoo: small broken objects, each re-enacting a published bug.

A suite of laws is worth what it kills: every mutant is named by the laws that must break it, and every law names one.
To add an area, import its tuple and give it a line in MUTANTS.
"""

from tinygrad_gpt.laws.catalogue import LAWS
from tinygrad_gpt.laws.law import Area, Law
from tinygrad_gpt.laws.mutants.around_optimizers import AROUND_MUTANTS
from tinygrad_gpt.laws.mutants.checkpoints import CHECKPOINT_MUTANTS
from tinygrad_gpt.laws.mutants.data import DATA_MUTANTS
from tinygrad_gpt.laws.mutants.engine import ENGINE_MUTANTS
from tinygrad_gpt.laws.mutants.losses import LOSS_MUTANTS
from tinygrad_gpt.laws.mutants.measured import Matrix as Matrix
from tinygrad_gpt.laws.mutants.measured import kills as kills
from tinygrad_gpt.laws.mutants.measured import measure
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
    "checkpoint": CHECKPOINT_MUTANTS,
}
EVERY: tuple[Mutant, ...] = tuple(mutant for mutants in MUTANTS.values() for mutant in mutants)


def killers(mutant: Mutant) -> tuple[Law, ...]:
    """The laws that must kill the mutant."""
    return tuple(law for law in LAWS[mutant.sut.area] if mutant.name in law.mutants)


def matrix(area: Area, profile: str = "mutants") -> Matrix:
    """Every law of an area tried on every mutant of it that has what the law needs (minutes)."""
    return measure(area, LAWS[area], MUTANTS[area], profile)
