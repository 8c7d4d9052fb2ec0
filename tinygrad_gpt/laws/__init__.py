"""Laws that any sampler, op, loss, model, optimizer, loader or checkpoint can be checked against, whoever wrote it.

    sut = laws.SamplerUnderTest(name="mine", probabilities=my_probabilities, capabilities={"temperature", "top_k"})
    laws.check(sut)

Needs NumPy and Hypothesis (the predicates, `holds_...`, NumPy alone), and sees NumPy's arrays only.  No module in here
imports a module of the engine, so no law depends on the code that it checks.
"""

from tinygrad_gpt.laws.predicates import holds_distribution as holds_distribution
from tinygrad_gpt.laws.predicates import holds_monotone_draw as holds_monotone_draw
from tinygrad_gpt.laws.predicates import holds_permutation_equivariance as holds_permutation_equivariance
from tinygrad_gpt.laws.predicates import holds_row_independence as holds_row_independence
from tinygrad_gpt.laws.predicates import holds_shift_invariance as holds_shift_invariance
from tinygrad_gpt.laws.predicates import holds_stratified_counts as holds_stratified_counts
from tinygrad_gpt.laws.predicates import holds_temperature as holds_temperature
from tinygrad_gpt.laws.predicates import holds_top_k as holds_top_k

try:
    import hypothesis as _hypothesis  # noqa: F401
except Exception as error:  # an import runs the package's code, which may raise anything
    if isinstance(error, ModuleNotFoundError) and error.name == "hypothesis":
        _why_not, _cause = 'tinygrad_gpt.laws needs hypothesis: pip install ".[laws]"', None
    else:
        reason = f"{type(error).__name__}: {error}"
        _why_not, _cause = f"tinygrad_gpt.laws needs hypothesis, which cannot be loaded ({reason})", error

    def __getattr__(name: str) -> object:
        """Say what all but the predicates need."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(_why_not) from _cause

else:
    from tinygrad_gpt.laws import adapters as adapters
    from tinygrad_gpt.laws import statistics as statistics
    from tinygrad_gpt.laws import strategies as strategies
    from tinygrad_gpt.laws.catalogue import ALL_LAWS as ALL_LAWS
    from tinygrad_gpt.laws.catalogue import LAWS as LAWS
    from tinygrad_gpt.laws.catalogue import find as find
    from tinygrad_gpt.laws.catalogue import laws_of as laws_of
    from tinygrad_gpt.laws.checkpoints import CHECKPOINT_LAWS as CHECKPOINT_LAWS
    from tinygrad_gpt.laws.checkpoints import CheckpointUnderTest as CheckpointUnderTest
    from tinygrad_gpt.laws.command import check_by_name as check_by_name
    from tinygrad_gpt.laws.data import DATA_LAWS as DATA_LAWS
    from tinygrad_gpt.laws.data import LoaderUnderTest as LoaderUnderTest
    from tinygrad_gpt.laws.engine import ENGINE_LAWS as ENGINE_LAWS
    from tinygrad_gpt.laws.engine import EngineUnderTest as EngineUnderTest
    from tinygrad_gpt.laws.law import DoesNotApply as DoesNotApply
    from tinygrad_gpt.laws.law import Law as Law
    from tinygrad_gpt.laws.law import LawBroken as LawBroken
    from tinygrad_gpt.laws.losses import LOSS_LAWS as LOSS_LAWS
    from tinygrad_gpt.laws.losses import LossUnderTest as LossUnderTest
    from tinygrad_gpt.laws.model import MODEL_LAWS as MODEL_LAWS
    from tinygrad_gpt.laws.model import ModelUnderTest as ModelUnderTest
    from tinygrad_gpt.laws.mutation import Mutant as Mutant
    from tinygrad_gpt.laws.mutation import kills as kills
    from tinygrad_gpt.laws.mutation import measure as measure
    from tinygrad_gpt.laws.ops import OP_LAWS as OP_LAWS
    from tinygrad_gpt.laws.ops import OpUnderTest as OpUnderTest
    from tinygrad_gpt.laws.optimizers import OPTIMIZER_LAWS as OPTIMIZER_LAWS
    from tinygrad_gpt.laws.optimizers import OptimizerUnderTest as OptimizerUnderTest
    from tinygrad_gpt.laws.page import page as page
    from tinygrad_gpt.laws.report import Report as Report
    from tinygrad_gpt.laws.report import Result as Result
    from tinygrad_gpt.laws.report import check as check
    from tinygrad_gpt.laws.report import check_checkpoint as check_checkpoint
    from tinygrad_gpt.laws.report import check_data as check_data
    from tinygrad_gpt.laws.report import check_engine as check_engine
    from tinygrad_gpt.laws.report import check_loss as check_loss
    from tinygrad_gpt.laws.report import check_model as check_model
    from tinygrad_gpt.laws.report import check_op as check_op
    from tinygrad_gpt.laws.report import check_optimizer as check_optimizer
    from tinygrad_gpt.laws.report import check_sampler as check_sampler
    from tinygrad_gpt.laws.sampling import SAMPLER_LAWS as SAMPLER_LAWS
    from tinygrad_gpt.laws.sampling import SamplerUnderTest as SamplerUnderTest
    from tinygrad_gpt.laws.with_pytest import parametrize_with_laws as parametrize_with_laws
