"""What a reader would miss in a figure of matplotlib's."""

from itertools import combinations
from unittest.mock import patch

from matplotlib.text import Text


def faults(figure):
    """A line for each text that is cut, each two that overlap, and each legend that lies over marks."""
    drawn = []
    draw = Text.draw

    def noted(text, renderer):  # a text that is never drawn, such as a label of a tick out of sight, is none
        if text.get_visible() and text.get_text():
            drawn.append(text)
        draw(text, renderer)

    with patch.object(Text, "draw", noted):
        figure.draw_without_rendering()
    boxes = {text: text.get_window_extent() for text in drawn}
    page = figure.bbox.padded(0.5)
    cut = [t for t, box in boxes.items() if not (page.contains(*box.min) and page.contains(*box.max))]
    over = [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    hiding = [one for one in legends for axes in figure.axes if one.get_window_extent().overlaps(axes.bbox)]
    return [
        *(f"cut: {text.get_text()!r}" for text in cut),
        *(f"overlap: {a.get_text()!r} and {b.get_text()!r}" for a, b in over),
        *(f"hidden: marks, by the legend of {[t.get_text() for t in one.get_texts()]}" for one in hiding),
    ]
