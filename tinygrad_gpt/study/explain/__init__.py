"""An op explained: its formula, its derivation, its code, and its gradient worked out in numbers."""

from tinygrad_gpt.study.explain.explanation import OPS as OPS
from tinygrad_gpt.study.explain.explanation import Explanation as Explanation
from tinygrad_gpt.study.explain.explanation import explain as explain
from tinygrad_gpt.study.explain.explanation import listing as listing
from tinygrad_gpt.study.explain.explanation import normalized_name as normalized_name
