"""The likeliest tokens at several temperatures, for a terminal."""

import math
from collections.abc import Iterable, Sequence

from tinygrad_gpt.sampling import SamplerSettings, probabilities
from tinygrad_gpt.sampling.chart import bar, display_width, pad_to, percent, truncate_to
from tinygrad_gpt.study.next_token.view import MAX_LABEL_COLUMNS, NextToken, entropy


def table(view: NextToken, temperatures: Sequence[float], cut: SamplerSettings, n: int = 10, width: int = 80) -> str:
    """The n likeliest tokens at each temperature, after the cut; then entropy, perplexity, how many can be drawn."""
    rows = [probabilities(view.logits, temperature=T, **cut.limits()) for T in temperatures]
    tokens = view.likeliest(n)
    names = [truncate_to(view.label(token), MAX_LABEL_COLUMNS) for token in tokens]
    widest = max(len("can be drawn"), *(display_width(name) for name in names))
    cell = max(14, min(30, (width - widest) // len(rows) - 2))
    scale = max(1, cell - 7) / max(float(row.max()) for row in rows)

    def line(name: str, cells: Iterable[str]) -> str:
        return f"{pad_to(name, widest)}  {'  '.join(f'{text:<{cell}}' for text in cells)}".rstrip()

    return "\n".join(
        [
            line("token", (f"temperature {T:g}" for T in temperatures)),
            *(
                line(name, (f"{percent(row[token])} {bar(row[token] * scale)}" for row in rows))
                for token, name in zip(tokens, names, strict=True)
            ),
            "",
            line("entropy", (f"{entropy(row):.3f} nats" for row in rows)),
            line("perplexity", (f"{math.exp(entropy(row)):,.2f}" for row in rows)),
            line("can be drawn", (f"{int((row > 0).sum()):,} of {row.size:,}" for row in rows)),
        ]
    )
