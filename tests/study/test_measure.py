"""What pages are measured with finds each kind of fault, and nothing where there is none."""

import pytest

from tests.study.browser import in_frames

pytestmark = pytest.mark.browser
STYLE = "font: 16px/1.5 sans-serif; margin: 0; background: #fff; color: #000"
FAULTS = {
    "cut": [
        '<p style="width: 4em; overflow: hidden; white-space: nowrap">a text that is too long</p>',
        '<p style="width: 4em; white-space: nowrap">a text that is too long</p>',
        '<p style="width: 4em; overflow-x: auto; white-space: nowrap">a text that is too long</p>',
        '<p style="height: 1em; overflow: hidden">two<br>lines</p>',
        '<p style="position: absolute; left: -3em">left of the page</p>',
        '<p style="position: absolute; left: 28em; white-space: nowrap">right of the page, wherever that ends</p>',
        '<input style="width: 3em" value="1234567890">',
        '<div style="width: 20px; overflow: hidden"><canvas width="40" height="10"></canvas></div>',
        '<div style="width: 3em; overflow: auto"><table><tr><td>cells</td><td>scroll</td></tr></table></div>',
    ],
    "overlap": ['<p>one</p><p style="margin-top: -2.5em">another</p>'],
    "faint": [
        '<p style="color: #888">grey</p>',
        '<p style="opacity: 0.5">pale</p>',
        '<div style="background: rgb(0 0 0 / 0.6)"><p>dark</p></div>',
        '<style>::placeholder { color: #aaa }</style><input placeholder="a hint">',
        '<p style="color: color-mix(in srgb, #000 40%, #fff)">mixed</p>',
    ],
}
SOUND = [
    "<p>a text that wraps where its box ends, however narrow it is, and that anyone can read</p>",
    '<pre style="width: 4em; overflow-x: auto">code may scroll sideways</pre>',
    '<div style="height: 2em; overflow-y: auto"><p>lines</p><p>may</p><p>scroll</p><p>away</p></div>',
    '<p style="display: none; color: #fff">not shown</p>',
    '<div style="background: #000; color: #fff"><p>light on dark</p></div>',
    '<input value="12">',
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The faults of each piece of a page, as it stands alone."""
    pieces = [piece for kind in FAULTS.values() for piece in kind] + SOUND
    script = f"""
        const answers = {{}};
        for (const piece of {pieces}) {{
          $("body").innerHTML = piece;
          answers[piece] = faults(window);
        }}
        return answers;"""
    page = f'<!doctype html><meta charset="utf-8"><body style="{STYLE}"></body>'
    return in_frames(tmp_path_factory.mktemp("page"), page, script, widths=(360,))["360 light"]


@pytest.mark.parametrize(("kind", "piece"), [(kind, piece) for kind, pieces in FAULTS.items() for piece in pieces])
def test_every_kind_of_fault_is_found(found, kind, piece):
    assert found[piece]
    assert {fault.split(":")[0] for fault in found[piece]} == {kind}


@pytest.mark.parametrize("piece", SOUND)
def test_what_is_sound_has_no_fault(found, piece):
    assert found[piece] == []
