"""A training step watched op by op: recorded, and shown in the terminal, as a page, or as JSON."""

from tinygrad_gpt.study.trace.html_page import page as page
from tinygrad_gpt.study.trace.recorder import Trace as Trace
from tinygrad_gpt.study.trace.recorder import trace as trace
from tinygrad_gpt.study.trace.serialize import as_dict as as_dict
from tinygrad_gpt.study.trace.spot_checks import spot_checks as spot_checks
