"""The laws of engines: tensors that record how they were computed, and a backward pass."""

from tinygrad_gpt.laws.engine.graphs import GRAPH_LAWS
from tinygrad_gpt.laws.engine.memory import MEMORY_LAWS
from tinygrad_gpt.laws.engine.recording_and_errors import RECORDING_AND_ERROR_LAWS
from tinygrad_gpt.laws.engine.under_test import EngineUnderTest as EngineUnderTest

ENGINE_LAWS = tuple(
    sorted((*GRAPH_LAWS, *RECORDING_AND_ERROR_LAWS, *MEMORY_LAWS), key=lambda law: (law.id[0] != "G", law.id))
)
