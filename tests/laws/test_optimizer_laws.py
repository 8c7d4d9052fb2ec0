"""Our AdamW, clipping and schedule under the laws of optimizers."""

import numpy as np
import pytest

from tinygrad_gpt import laws
from tinygrad_gpt.optim import AdamW, clip_grad_norm, cosine_schedule
from tinygrad_gpt.tape import Tensor


class Named(AdamW):
    """AdamW that still knows each name of a tensor, so that a gradient can come under any of them."""

    def __init__(self, tensors, **settings):
        super().__init__(tensors, **settings)
        self.tensors = tensors


def init(parameters, **settings):
    tensors = {id(array): Tensor(array, requires_grad=True) for array in parameters.values()}
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


@laws.parametrize_with_laws([adamw])
def test_law(sut, law):
    law.check(sut)


def test_a_schedule_alone_is_enough():
    report = laws.check_optimizer(laws.OptimizerUnderTest(name="cosine", schedule=cosine_schedule), profile="dev")
    assert [result.law.id for result in report.results if result.status == "held"] == ["A16"]


def test_init_step_and_parameters_come_together():
    with pytest.raises(ValueError, match="init, step and parameters come together; parameters missing in 'half'"):
        laws.OptimizerUnderTest(name="half", init=init, step=step)
