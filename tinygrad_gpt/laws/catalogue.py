"""All laws: one tuple per area, defined in that area's package and listed here.

To add an area, import its tuple and give it a line in LAWS and in TITLES.
"""

from collections.abc import Iterable

from tinygrad_gpt.laws.checkpoints import CHECKPOINT_LAWS
from tinygrad_gpt.laws.data import DATA_LAWS
from tinygrad_gpt.laws.engine import ENGINE_LAWS
from tinygrad_gpt.laws.law import Area, Law, UnderTest
from tinygrad_gpt.laws.losses import LOSS_LAWS
from tinygrad_gpt.laws.model import MODEL_LAWS
from tinygrad_gpt.laws.ops import OP_LAWS
from tinygrad_gpt.laws.optimizers import OPTIMIZER_LAWS
from tinygrad_gpt.laws.sampling import DROPPED as DROPPED_SAMPLER_LAWS
from tinygrad_gpt.laws.sampling import SAMPLER_LAWS

LAWS: dict[Area, tuple[Law, ...]] = {
    "ops": OP_LAWS,
    "engine": ENGINE_LAWS,
    "model": MODEL_LAWS,
    "sampling": SAMPLER_LAWS,
    "loss": LOSS_LAWS,
    "optimizer": OPTIMIZER_LAWS,
    "data": DATA_LAWS,
    "checkpoint": CHECKPOINT_LAWS,
}
TITLES: dict[Area, str] = {
    "ops": "Ops",
    "engine": "Engine",
    "model": "Model",
    "sampling": "Sampling",
    "loss": "Loss and perplexity",
    "optimizer": "Optimizer",
    "data": "Data",
    "checkpoint": "Checkpoints",
}
DROPPED: dict[str, str] = {**DROPPED_SAMPLER_LAWS}  # ids of former laws, and why they were dropped
ALL_LAWS: tuple[Law, ...] = tuple(law for laws in LAWS.values() for law in laws)


def find(id: str) -> Law:
    """The law with this id.  Raises ValueError if there is none."""
    for law in ALL_LAWS:
        if law.id == id:
            return law
    raise ValueError(f"there is no law {id!r}; there are {', '.join(law.id for law in ALL_LAWS)}")


def laws_of(sut: UnderTest, only: Iterable[str] | None = None) -> tuple[Law, ...]:
    """The laws of the object's area, or those with the ids in `only`.

    Raises TypeError for anything that is not an object under test, ValueError for an unknown id.
    """
    area = getattr(sut, "area", None)
    if area not in LAWS:
        raise TypeError(f"an object under test is made with an adapter such as laws.SamplerUnderTest; got {sut!r}")
    laws = LAWS[area]
    if only is None:
        return laws
    wanted = [only] if isinstance(only, str) else list(only)
    unknown = [id for id in wanted if id not in {law.id for law in laws}]
    if unknown:
        raise ValueError(f"only names {', '.join(unknown)}; the laws of {area} are {', '.join(law.id for law in laws)}")
    return tuple(law for law in laws if law.id in wanted)
