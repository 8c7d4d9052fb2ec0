"""The next token's distribution in figures: what temperature, top-k and top-p make of one row of logits.

table(view, ...)    for a terminal
figure(view, ...)   the chapter's figures: bars at several temperatures, the cut, entropy over temperature
page(view, ...)     one HTML file with sliders, which computes in the browser by the rules of `probabilities`
"""

from tinygrad_gpt.study.next_token.figure import figure as figure
from tinygrad_gpt.study.next_token.html_page import page as page
from tinygrad_gpt.study.next_token.table import table as table
from tinygrad_gpt.study.next_token.view import NextToken as NextToken
from tinygrad_gpt.study.next_token.view import entropy as entropy
from tinygrad_gpt.study.next_token.view import limits_text as limits_text
from tinygrad_gpt.study.next_token.view import next_token as next_token
