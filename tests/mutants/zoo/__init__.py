"""The mutant zoo: small broken objects, each with a published bug or one that is easily made.

A law is worth what it kills: every mutant is named by the laws that must kill it, and every law names one.  To add a
mutant, write the broken object in its area's module, below `@mutant(...)`; its docstring is its story: what is wrong,
and its effect for a user.
"""

from tests.mutants.zoo.checkpoints import CHECKPOINT_MUTANTS
from tests.mutants.zoo.clipping_and_schedule import CLIPPING_AND_SCHEDULE_MUTANTS
from tests.mutants.zoo.data import DATA_MUTANTS
from tests.mutants.zoo.draws import DRAW_MUTANTS
from tests.mutants.zoo.engine import ENGINE_MUTANTS
from tests.mutants.zoo.losses import LOSS_MUTANTS
from tests.mutants.zoo.model import MODEL_MUTANTS
from tests.mutants.zoo.ops import OP_MUTANTS
from tests.mutants.zoo.optimizers import ADAMW_MUTANTS
from tests.mutants.zoo.sampling import PROBABILITY_MUTANTS
from tinygrad_gpt.laws.catalogue import LAWS

MUTANTS = {
    "ops": OP_MUTANTS,
    "engine": ENGINE_MUTANTS,
    "model": MODEL_MUTANTS,
    "sampling": PROBABILITY_MUTANTS + DRAW_MUTANTS,
    "loss": LOSS_MUTANTS,
    "optimizer": ADAMW_MUTANTS + CLIPPING_AND_SCHEDULE_MUTANTS,
    "data": DATA_MUTANTS,
    "checkpoint": CHECKPOINT_MUTANTS,
}
ALL_MUTANTS = [mutant for mutants in MUTANTS.values() for mutant in mutants]


def killers(mutant):
    """The laws that must kill the mutant."""
    return [law for law in LAWS[mutant.sut.area] if mutant.name in law.mutants]
