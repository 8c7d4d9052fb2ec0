"""The right objects that the mutants of loss, optimizer, data and checkpoints are made from pass every law."""

from tests.mutants.zoo.data import RIGHT_LOADER
from tests.mutants.zoo.losses import RIGHT_LOSS
from tests.mutants.zoo.small_adamw import RIGHT_OPTIMIZER
from tests.mutants.zoo.small_checkpoints import RIGHT_CHECKPOINT
from tinygrad_gpt import laws

RIGHT = [RIGHT_LOSS, RIGHT_OPTIMIZER, RIGHT_LOADER, RIGHT_CHECKPOINT]


@laws.parametrize_with_laws(RIGHT)
def test_a_right_object_passes(sut, law):
    law.check(sut)


def test_every_law_applies_to_a_right_object():
    for sut in RIGHT:
        assert not [law.id for law in laws.laws_of(sut) if not law.applies_to(sut)]
