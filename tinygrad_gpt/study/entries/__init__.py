"""Any number of a training step written as a sum: y[i] or dx[i] of an op, with every term and its factors."""

from tinygrad_gpt.study.entries.entry import Computation as Computation
from tinygrad_gpt.study.entries.entry import EntrySum as EntrySum
from tinygrad_gpt.study.entries.entry import Factor as Factor
from tinygrad_gpt.study.entries.entry import Term as Term
from tinygrad_gpt.study.entries.sums import entry_sum as entry_sum
from tinygrad_gpt.study.entries.sums import names_of as names_of
from tinygrad_gpt.study.entries.sums import sums_text as sums_text
