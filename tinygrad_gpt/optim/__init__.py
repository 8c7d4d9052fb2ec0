"""AdamW, gradient clipping and the learning-rate schedule."""

from tinygrad_gpt.ops.adamw import adamw_step as adamw_step
from tinygrad_gpt.optim.adamw import AdamW as AdamW
from tinygrad_gpt.optim.adamw import all_decay as all_decay
from tinygrad_gpt.optim.adamw import matrices_decay as matrices_decay
from tinygrad_gpt.optim.clipping import clip_grad_norm as clip_grad_norm
from tinygrad_gpt.optim.clipping import grad_norm as grad_norm
from tinygrad_gpt.optim.optimizer import Optimizer as Optimizer
from tinygrad_gpt.optim.schedule import cosine_schedule as cosine_schedule
