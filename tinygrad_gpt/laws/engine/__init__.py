"""The laws of engines: tensors that remember how they were made, and the walk back."""

from tinygrad_gpt.laws.engine.graphs import GRAPH_LAWS
from tinygrad_gpt.laws.engine.memory import MEMORY_LAWS
from tinygrad_gpt.laws.engine.recording_and_errors import CONDUCT_LAWS
from tinygrad_gpt.laws.engine.under_test import EngineUnderTest as EngineUnderTest

ENGINE_LAWS = tuple(sorted((*GRAPH_LAWS, *CONDUCT_LAWS, *MEMORY_LAWS), key=lambda law: (law.id[0] != "G", law.id)))
