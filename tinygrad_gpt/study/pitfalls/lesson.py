"""A pitfall explained step by step, as text for a terminal of 80 columns."""

import contextlib
import io
import textwrap

from tinygrad_gpt import laws
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall

_WIDTH = 80


def opening(number: int, pitfall: Pitfall) -> str:
    """What the code is for, what happens when it is used, and the code."""
    heading = f"{number}. {pitfall.title}  ({pitfall.area})"
    seen = _indented(symptom(pitfall, pitfall.wrong))
    return "\n\n".join([heading, paragraph(pitfall.task), f"It runs:\n\n{seen}", f"The code:\n\n{_code(pitfall)}"])


def symptom(pitfall: Pitfall, implementation: Code) -> str:
    """What the pitfall's symptom prints with this code."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        pitfall.symptom(implementation)
    return printed.getvalue().rstrip()


def _code(pitfall: Pitfall) -> str:
    """The wrong code, its lines numbered."""
    return "\n".join(f"  {number:>2}  {line}".rstrip() for number, line in enumerate(pitfall.code, 1))


def verdict(pitfall: Pitfall, number: int) -> str:
    """The reply to a guess."""
    if pitfall.is_wrong(number):
        return f"Yes, line {number}."
    return f"Line {number} is correct."


def answer(pitfall: Pitfall) -> str:
    """Where the mistake is, for a reader who does not guess."""
    numbers = [str(number) for number in range(1, len(pitfall.code) + 1) if pitfall.is_wrong(number)]
    if len(numbers) == 1:
        return f"It is line {numbers[0]}."
    if any(i == j for i, j, _ in pitfall.changes()):
        return f"Something is missing between lines {' and '.join(numbers)}."
    return f"It is lines {', '.join(numbers[:-1])} and {numbers[-1]}."


def catch(pitfall: Pitfall) -> str:
    """The law that the wrong code breaks, with the law's own message."""
    try:
        pitfall.check()
    except laws.LawBroken as broken:
        return finding(pitfall, broken)
    raise AssertionError(f"{pitfall.name} is not caught by {pitfall.laws[0]}")


def finding(pitfall: Pitfall, broken: laws.LawBroken) -> str:
    """What a law found, in its own words, and the other laws that find it."""
    message = "\n".join(wrap(line) for line in str(broken).splitlines())
    others = [f"{id} ({laws.find(id).title})" for id in pitfall.laws[1:]]
    more = "\n\n" + paragraph(f"It breaks {', '.join(others)} too.") if others else ""
    return f"What catches it:\n\n{_indented(message)}{more}"


def wrap(line: str) -> str:
    """A line of a law's message, folded under its second column; code that replays the case stays on one line."""
    if "laws.find(" in line or len(line) <= _WIDTH - 2:
        return line
    return textwrap.fill(line, _WIDTH - 2, subsequent_indent=" " * 12, break_long_words=False)


def fix(pitfall: Pitfall) -> str:
    """The lines that change, that the law then passes, what the symptom becomes, and why."""
    pitfall.check_fixed()
    law = laws.find(pitfall.laws[0])
    parts = [
        f"The fix:\n\n{_indented(chr(10).join(pitfall.diff()))}",
        paragraph(f"{law.id}, {law.title}: passed. And it runs:"),
        _indented(symptom(pitfall, pitfall.fixed)),
        paragraph(f"Why. {pitfall.why}"),
    ]
    if pitfall.sources:
        parts.append(paragraph(f"Seen in {', '.join(pitfall.sources)}"))
    return "\n\n".join(parts)


def paragraph(text: str) -> str:
    """Text folded to the width of a terminal."""
    return textwrap.fill(text, _WIDTH)


def _indented(text: str) -> str:
    """Text set off by two spaces."""
    return textwrap.indent(text, "  ")
