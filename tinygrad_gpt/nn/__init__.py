"""The model: layers, GPT-2, and its loss."""

from tinygrad_gpt.nn.cache import Cache as Cache
from tinygrad_gpt.nn.config import PRESETS as PRESETS
from tinygrad_gpt.nn.config import GPTConfig as GPTConfig
from tinygrad_gpt.nn.config import count_parameters as count_parameters
from tinygrad_gpt.nn.config import parameter_shapes as parameter_shapes
from tinygrad_gpt.nn.gpt import GPT as GPT
from tinygrad_gpt.nn.loss import cross_entropy as cross_entropy
