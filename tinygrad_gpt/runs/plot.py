"""The figure of a run: training and validation loss over epochs, with tokens seen on a second axis.

It uses `Figure` and its own canvas, never pyplot: so there is no global state, no window and no backend to choose.
"""

import io
import math
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_gpt.backend import require
from tinygrad_gpt.files import atomic_write

if TYPE_CHECKING:  # a name for mypy; matplotlib is loaded when a figure is drawn
    from matplotlib.figure import Figure

TRAINING, VALIDATION, GREY = "#1f5fa8", "#d1601f", "#555555"
SIZE_INCHES, DPI = (7.2, 4.4), 150  # inches, dots per inch
_MAX_MARKERS = 40  # with more evaluations, markers would hide the line


def plot_losses(records: Iterable[Mapping[str, Any]], path: str | Path, *, title: str | None = None) -> None:
    """Draw the evaluations of a run to path, in the format its suffix names (png, svg, pdf).

    Each record has "epoch" (a number, fractions included), "tokens_seen", "train_loss" and "val_loss" (nats per token;
    "val_loss" may be None).  A loss that is not finite leaves a gap.

    Raises ValueError if there is no record, OSError if path cannot be written (an existing file stays then),
    ImportError if matplotlib cannot be imported.
    """
    drawn = io.BytesIO()
    loss_figure(records, title=title).savefig(drawn, format=Path(path).suffix[1:] or "png", dpi=DPI)
    with atomic_write(path) as file:
        file.write(drawn.getvalue())


def loss_figure(records: Iterable[Mapping[str, Any]], *, title: str | None = None) -> "Figure":
    """The figure that `plot_losses` writes, for those who want to change it; raises ValueError and ImportError."""
    require("matplotlib")
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    rows = list(records)
    if not rows:
        raise ValueError("records must hold at least one evaluation; got none")
    epochs = [float(row["epoch"]) for row in rows]
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for label, key, colour, style in (
        ("training", "train_loss", TRAINING, "-"),
        ("validation", "val_loss", VALIDATION, (0, (5, 1.5))),
    ):
        losses = [_finite_or_nan(row.get(key)) for row in rows]
        if not all(map(math.isnan, losses)):
            marker = "o" if len(rows) <= _MAX_MARKERS else None
            last = next(loss for loss in reversed(losses) if not math.isnan(loss))
            ending = f"{label}, {last:.3g} at the end"
            axes.plot(epochs, losses, color=colour, linestyle=style, marker=marker, markersize=3.5, label=ending)
    axes.set_xlabel("epochs")
    axes.set_ylabel("loss (nats per token)")
    end = max(epochs) or 1.0
    axes.set_xlim(-0.02 * end, 1.02 * end)
    axes.xaxis.set_major_locator(MaxNLocator(integer=max(epochs) >= 4))
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)

    per_epoch = tokens_per_epoch(rows)
    if per_epoch:
        scales = (lambda epoch: np.multiply(epoch, per_epoch), lambda tokens: np.divide(tokens, per_epoch))
        above = axes.secondary_xaxis("top", functions=scales)
        above.set_xlabel("tokens seen", color=GREY)
        above.tick_params(colors=GREY)
        above.spines["top"].set_visible(False)
        above.xaxis.set_major_formatter(EngFormatter(sep=""))
        above.xaxis.set_major_locator(MaxNLocator(6))
    if title:
        set_title(figure, title)
    return figure


def set_title(figure: "Figure", text: str) -> None:
    """Write a title above a figure, in as many lines as its width requires."""
    title = figure.suptitle("", fontsize="medium")
    title.set_parse_math(False)  # a file's name may hold a $
    text = drawable_text(text)
    columns = len(text)
    title.set_text(text)
    while title.get_window_extent().width > 0.96 * figure.bbox.width:
        columns = columns * 9 // 10
        title.set_text(textwrap.fill(text, columns))


def drawable_text(text: str) -> str:
    """text, with escapes for characters that the figures' font lacks: other scripts, newlines, undecodable bytes."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    glyphs = get_font(findfont(FontProperties())).get_charmap()
    return "".join(c if ord(c) in glyphs else c.encode("unicode_escape").decode("ascii") for c in text)


def _finite_or_nan(loss: float | None) -> float:
    """loss, or nan (a gap in the line) if it is None or not finite."""
    return float(loss) if loss is not None and math.isfinite(loss) else math.nan


def tokens_per_epoch(rows: list[Mapping[str, Any]]) -> float:
    """Tokens in an epoch, from the last record that has seen tokens; 0 if none has."""
    seen = [(float(row["tokens_seen"]), float(row["epoch"])) for row in rows]
    return next((tokens / epoch for tokens, epoch in reversed(seen) if tokens > 0 and epoch > 0), 0.0)
