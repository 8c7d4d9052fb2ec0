"""The public names, for type checkers and editors: `__init__.py` imports each when it is first used."""

from tinygrad_gpt import laws as laws
from tinygrad_gpt import ops as ops
from tinygrad_gpt import study as study
from tinygrad_gpt.checkpoints import CheckpointError as CheckpointError
from tinygrad_gpt.checkpoints import Checkpoints as Checkpoints
from tinygrad_gpt.checkpoints import load_checkpoint as load_checkpoint
from tinygrad_gpt.checkpoints import load_gpt2 as load_gpt2
from tinygrad_gpt.checkpoints import save_checkpoint as save_checkpoint
from tinygrad_gpt.kernels import keep_freed_memory as keep_freed_memory
from tinygrad_gpt.kernels import reference_only as reference_only
from tinygrad_gpt.kernels import set_num_threads as set_num_threads
from tinygrad_gpt.kernels.cuda import precision as precision
from tinygrad_gpt.nn import GPT as GPT
from tinygrad_gpt.nn import PRESETS as PRESETS
from tinygrad_gpt.nn import GPTConfig as GPTConfig
from tinygrad_gpt.nn import cross_entropy as cross_entropy
from tinygrad_gpt.optim import AdamW as AdamW
from tinygrad_gpt.optim import clip_grad_norm as clip_grad_norm
from tinygrad_gpt.optim import cosine_schedule as cosine_schedule
from tinygrad_gpt.rng import Dropout as Dropout
from tinygrad_gpt.runs import load_run as load_run
from tinygrad_gpt.sampling import draw as draw
from tinygrad_gpt.sampling import generate as generate
from tinygrad_gpt.sampling import greedy as greedy
from tinygrad_gpt.sampling import probabilities as probabilities
from tinygrad_gpt.sampling import sample as sample
from tinygrad_gpt.sampling import uniforms as uniforms
from tinygrad_gpt.tape import Tensor as Tensor
from tinygrad_gpt.tape import apply as apply
from tinygrad_gpt.tape import backward as backward
from tinygrad_gpt.tape import concatenate as concatenate
from tinygrad_gpt.tape import no_grad as no_grad
from tinygrad_gpt.tape import where as where
from tinygrad_gpt.text import Batches as Batches
from tinygrad_gpt.text import StreamDecoder as StreamDecoder
from tinygrad_gpt.text import build_tokenizer as tokenizer
from tinygrad_gpt.text import read_texts as read_texts
from tinygrad_gpt.text import reference_manual as reference_manual
from tinygrad_gpt.text import split_tokens as split_tokens
from tinygrad_gpt.training import evaluate as evaluate
from tinygrad_gpt.training import perplexity as perplexity
from tinygrad_gpt.training import train as train
from tinygrad_gpt.version import __version__ as __version__

__all__ = [
    "GPT",
    "PRESETS",
    "AdamW",
    "Batches",
    "CheckpointError",
    "Checkpoints",
    "Dropout",
    "GPTConfig",
    "StreamDecoder",
    "Tensor",
    "apply",
    "backward",
    "clip_grad_norm",
    "concatenate",
    "cosine_schedule",
    "cross_entropy",
    "draw",
    "evaluate",
    "generate",
    "greedy",
    "keep_freed_memory",
    "load_checkpoint",
    "load_gpt2",
    "load_run",
    "no_grad",
    "ops",
    "perplexity",
    "precision",
    "probabilities",
    "read_texts",
    "reference_manual",
    "reference_only",
    "sample",
    "save_checkpoint",
    "set_num_threads",
    "split_tokens",
    "tokenizer",
    "train",
    "uniforms",
    "where",
]
