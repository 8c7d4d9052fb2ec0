"""Our AdamW, clipping and schedule under the laws of optimizers."""

from dataclasses import replace

import numpy as np
import pytest

from tests.mutants.zoo import killers
from tests.mutants.zoo.optimizers import ADAMW_MUTANTS
from tests.mutants.zoo.small_adamw import RIGHT_OPTIMIZER
from tinygrad_gpt import laws
from tinygrad_gpt.laws.optimizers import cases
from tinygrad_gpt.optim import AdamW, clip_grad_norm, cosine_schedule
from tinygrad_gpt.tape import Tensor, leaf_without_copy


class Named(AdamW):
    """AdamW that still knows each name of a tensor, so that a gradient can come under any of them."""

    def __init__(self, tensors, **settings):
        super().__init__(tensors, **settings)
        self.tensors = tensors


def init(parameters, **settings):
    tensors = {id(array): leaf_without_copy(array) for array in parameters.values()}
    return Named({name: tensors[id(array)] for name, array in parameters.items()}, **settings)


def step(optimizer, gradients):
    optimizer.zero_grad()
    for name, grad in gradients.items():
        optimizer.tensors[name].grad = grad
    optimizer.step()


def clip(gradients, max_norm):
    tensors = {name: Tensor(np.zeros_like(grad), requires_grad=True) for name, grad in gradients.items()}
    for name, tensor in tensors.items():
        tensor.grad = gradients[name]
    norm = clip_grad_norm(tensors, max_norm)
    return {name: tensor.grad for name, tensor in tensors.items()}, norm


adamw = laws.OptimizerUnderTest(
    name="AdamW",
    init=init,
    step=step,
    parameters=lambda optimizer: {name: tensor.data for name, tensor in optimizer.parameters.items()},
    moments=lambda optimizer: {name: (optimizer.m[name], optimizer.v[name]) for name in optimizer.parameters},
    state=AdamW.state,
    load=AdamW.load_state,
    clip=clip,
    schedule=cosine_schedule,
)


def in_float32(sut):
    """The same, for those who have nothing wider."""
    return replace(sut, name=f"{sut.name}-float32", dtypes=("float32",), rtol=1e-5)


@laws.parametrize_with_laws([adamw, in_float32(adamw), in_float32(RIGHT_OPTIMIZER)])
def test_law(sut, law):
    law.check(sut)


FAR_OFF = [(law, mutant) for mutant in ADAMW_MUTANTS for law in killers(mutant)]


@pytest.mark.parametrize(("law", "mutant"), FAR_OFF, ids=lambda x: getattr(x, "id", "") or x.name)
def test_the_slack_for_float32_lets_no_broken_optimizer_through(law, mutant):
    with pytest.raises(laws.LawBroken):
        law.without_shrinking().check(in_float32(mutant.sut), profile="mutants")


def test_a_loose_optimizer_is_found_out_without_its_rtol():
    narrow = replace(in_float32(RIGHT_OPTIMIZER), rtol=0.0)
    with pytest.raises(laws.LawBroken, match="A11"):
        laws.find("A11").check(narrow)


@pytest.mark.parametrize("claims", [{"dtypes": ()}, {"dtypes": ("float16",)}, {"rtol": -1.0}, {"rtol": float("nan")}])
def test_claims_out_of_range_are_refused(claims):
    with pytest.raises(ValueError, match=next(iter(claims))):
        laws.OptimizerUnderTest(name="odd", **claims)


def test_the_finding_about_a_clipped_nan_says_what_came_back():
    lets_pass = laws.OptimizerUnderTest(name="lets-pass", clip=lambda gradients, max_norm: (gradients, 5.0))
    with pytest.raises(laws.LawBroken) as broken:
        laws.find("A15").replay(lets_pass, gradients={"g0": np.array([3.0, 4.0])}, share=2.0, spoil=np.nan)
    assert broken.value.observed == "a norm of 5.0 and a first entry of nan, where a gradient holds nan"


# torch.optim.AdamW of PyTorch 2.13.0, float64, lr 0.1, betas (0.9, 0.999), eps 0.1, weight_decay 0.5
GOLDEN_GRADIENTS = [[[0.5, -1.0], [0.0, 2.0]], [[-0.25, -1.0], [0.5, 2.0]], [[1.0, 0.125], [-3.0, 2.0]]]
GOLDEN_PATH = [
    [[0.5, -1.0], [2.0, 0.25]],
    [[0.3916666666666666, -0.859090909090909], [1.9, 0.14226190476190476]],
    [[0.3508277268970086, -0.7252272727272733], [1.7469899383792655, 0.03991071428571491]],
    [[0.2761160462686627, -0.625357003543538], [1.710316927162852, -0.057322916666666016]],
]


def test_ours_and_the_laws_recurrence_take_the_path_that_pytorch_took():
    settings = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 0.1, "weight_decay": 0.5}
    gradients, want = np.array(GOLDEN_GRADIENTS), np.array(GOLDEN_PATH)
    np.testing.assert_allclose(cases.adamw(want[0], gradients, **settings), want, rtol=0, atol=1e-15)
    np.testing.assert_allclose(cases.parameter_path(adamw, want[0], gradients, **settings), want, rtol=0, atol=1e-15)


def test_a_schedule_alone_is_enough():
    report = laws.check(laws.OptimizerUnderTest(name="cosine", schedule=cosine_schedule), profile="dev")
    assert [result.law.id for result in report.results if result.status == "held"] == ["A16"]


def test_init_step_and_parameters_come_together():
    with pytest.raises(ValueError, match="init, step and parameters come together; parameters missing in 'half'"):
        laws.OptimizerUnderTest(name="half", init=init, step=step)
