"""LaTeX to MathML, which browsers draw without a library: only the commands that `tex` writes.

    >>> mathml(r"x_i^{2}")
    '<math><msubsup><mi>x</mi><mi>i</mi><mrow><mn>2</mn></mrow></msubsup></math>'

`d` and the letter after it are one symbol: dx is dLoss/dx.
"""

import html
import re

_NAMED = {"mu": "μ", "varepsilon": "ε", "pi": "π", "Phi": "Φ"}
_SIGNS = {"cdot": "·", "circ": "∘", "infty": "∞", "top": "\u22a4", "dots": "…", "sum": "∑"}
_SPACES = {",": "0.17em", " ": "0.25em", "quad": "1em", "qquad": "2em"}
_ACCENTS = {"hat": "^", "bar": "¯"}
_THIN_SPACE = f'<mspace width="{_SPACES[","]}"/>'
_MINUS = "\u2212"  # as wide as a plus
D, NBSP = '<mi mathvariant="normal">d</mi>', "\u00a0"

_TOKEN = re.compile(r"\\(?:text|operatorname|mathrm|mathit)\{[^{}]*\}|\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|d?[A-Za-z]|\s+|.")
_ORDINARY = re.compile(r"\w|\\(?:operatorname|mathrm|mathit|hat|bar|frac|tfrac|sqrt|mu|varepsilon|pi|Phi)\b")


def mathml(latex: str) -> str:
    """A formula as a MathML element.  Raises ValueError for an unknown command."""
    return f"<math>{Parser(latex).row()}</math>"


class Parser:
    """A formula, read from left to right."""

    def __init__(self, latex: str) -> None:
        self.tokens: list[str] = [token for token in _TOKEN.findall(latex) if not token.isspace()]

    def row(self, end: str | None = None) -> str:
        """Everything up to and including `end`."""
        parts = []
        while self.tokens and self.tokens[0] != end:
            function = self.tokens[0].startswith(r"\operatorname")
            parts.append(self.scripted())
            if function and self.tokens and _ORDINARY.match(self.tokens[0]):  # mean x: a thin space, as in LaTeX
                parts.append(_THIN_SPACE)
        if end is not None:
            self.take(end)
        return "".join(parts)

    def take(self, expected: str | None = None) -> str:
        """Remove and return the next token."""
        if not self.tokens or (expected is not None and self.tokens[0] != expected):
            raise ValueError(f"formula needs {expected or 'more'}, and has {' '.join(self.tokens) or 'no more'}")
        return self.tokens.pop(0)

    def scripted(self) -> str:
        """One symbol or group with its index and exponent."""
        base, limits = self.atom()
        below = above = None
        while self.tokens and self.tokens[0] in ("_", "^"):
            if self.take() == "_":
                below = self.atom()[0]
            else:
                above = self.atom()[0]
        tag = ("munder", "mover", "munderover") if limits else ("msub", "msup", "msubsup")
        if below and above:
            return f"<{tag[2]}>{base}{below}{above}</{tag[2]}>"
        if below:
            return f"<{tag[0]}>{base}{below}</{tag[0]}>"
        return f"<{tag[1]}>{base}{above}</{tag[1]}>" if above else base

    def atom(self) -> tuple[str, bool]:
        """One symbol or group, and whether its limits are drawn under and over it."""
        token = self.take()
        if token == "{":
            return f"<mrow>{self.row('}')}</mrow>", False
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>", False
        if token == "d" and self.tokens and self.tokens[0] in (r"\hat", r"\ell"):
            return f"<mrow>{D}{self.atom()[0]}</mrow>", False
        if token.isalpha() and len(token) == 1:
            return f"<mi>{token}</mi>", False
        if token.isalpha():
            return f"<mrow>{D}<mi>{token[1:]}</mi></mrow>", False
        stretchy = ' stretchy="false"' if token in "()[]|" else ""
        return f"<mo{stretchy}>{html.escape(_MINUS if token == '-' else token)}</mo>", False

    def command(self, name: str) -> tuple[str, bool]:
        """A command and its arguments."""
        if name in _SPACES:
            return f'<mspace width="{_SPACES[name]}"/>', False
        if name in "{}|":
            return f"<mo>{name}</mo>", False
        if name in ("frac", "tfrac"):
            return f"<mfrac>{self.atom()[0]}{self.atom()[0]}</mfrac>", False
        if name == "sqrt":
            return f"<msqrt>{self.atom()[0]}</msqrt>", False
        if name in _ACCENTS:
            return f'<mover accent="true">{self.atom()[0]}<mo stretchy="true">{_ACCENTS[name]}</mo></mover>', False
        if "{" in name:  # text and names, with their spaces
            kind, _, words = name.rstrip("}").partition("{")
            tag = "mtext" if kind == "text" else "mi"
            return f"<{tag}>{html.escape(words.replace(' ', NBSP).replace(chr(92), ''))}</{tag}>", False
        if name in _NAMED:
            return f"<mi>{_NAMED[name]}</mi>", False
        if name in _SIGNS:
            return f"<mo>{_SIGNS[name]}</mo>", name == "sum"
        raise ValueError(f"\\{name} is not known here")
