"""Two runs of one example, compared by what they printed.

Words must be the same, and whole numbers too.  Other numbers may differ by one unit of the last digit that is printed,
or by a share: another processor, NumPy or number of threads adds in another order.  What is below 1e-8 is such a
rounding itself.  Training multiplies these differences: with and without AVX-512, and with one and two threads, losses
after 150 steps were 0.4 % apart and perplexities 2.2 %, and the words that the model drew were others.  So in an
example that trains, the share is larger, and what a model wrote is compared as far as its prompt.  No example prints
a time.
"""

import re

SHARE, SHARE_AFTER_TRAINING = 1e-5, 0.05
ROUNDING = 1e-8
PROMPTS = ("The statement", "Every effort moves you")
_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d*)?(?:e[+-]?\d+)?")
_WRITTEN = re.compile(rf"""['"]({"|".join(PROMPTS)}).*""")  # with the quotes, which depend on the text


def difference(stored, fresh, *, trains=False):
    """The first pair of lines that differ, as text; None if none does."""
    lines = [text.rstrip().split("\n") for text in (stored, fresh)]
    for old, new in zip(*lines, strict=False):
        if not _is_same_line(old, new, trains):
            return f"stored: {old}\nnow:    {new}"
    n_old, n_new = map(len, lines)
    return None if n_old == n_new else f"stored: {n_old} lines\nnow:    {n_new} lines"


def _is_same_line(old, new, trains):
    if trains:
        old, new = (_WRITTEN.sub(r"\1", line) for line in (old, new))
    if _words(old) != _words(new):
        return False
    pairs = zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True)
    return all(_is_same_number(a, b, SHARE_AFTER_TRAINING if trains else SHARE) for a, b in pairs)


def _words(line):
    """The words; blanks next to a number are not compared, since NumPy makes columns as wide as their numbers."""
    return re.sub(r"\s*#\s*", "#", _NUMBER.sub("#", line)).split()


def _is_same_number(old, new, share):
    if old == new:
        return True
    if _unit(old) == _unit(new) == 1:
        return False
    a, b = (float(text.replace(",", "")) for text in (old, new))
    largest = max(abs(a), abs(b))
    return largest < ROUNDING or abs(a - b) <= max(share * largest, 1.001 * min(_unit(old), _unit(new)))


def _unit(text):
    """One in the last digit of a printed number; 1 for a whole number."""
    digits, _, exponent = text.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
