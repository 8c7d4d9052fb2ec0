#!/usr/bin/env bash
# latex2mathml draws \mathrm{d}y, A^{\mathrm{T}} and \mathrm{e}^x with italic letters: where one letter stands in the
# braces, the request for upright type is lost.  Two letters in the braces, or one letter without braces, keep it.
#
# One would guess that \mathrm{d} and \mathrm d give the same MathML, as they give the same type in LaTeX.  In fact the
# first gives <mi>d</mi>, without mathvariant="normal", and MathML Core has a browser draw an <mi> of one letter in
# italics (https://www.w3.org/TR/mathml-core/#the-mi-element).  So a differential, a transpose sign and the number e come
# out as variables, and only there: \mathrm{dy} is upright.
#
# Seen: latex2mathml 3.81.0 from PyPI, Python 3.11.  Fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check latex2mathml==3.81.0

cat >"$folder/letters.py" <<'PY'
import sys
import xml.etree.ElementTree as ET

from latex2mathml.converter import convert


def letters(tex):
    """(letter, whether it is marked as upright) of each identifier."""
    found = [mi for mi in ET.fromstring(convert(tex)).iter() if mi.tag.endswith("}mi")]
    return [(mi.text, mi.get("mathvariant") == "normal") for mi in found]


seen = {tex: letters(tex) for tex in (r"\mathrm{d}y", r"\mathrm dy", r"\mathrm{dy}", r"A^{\mathrm{T}}", r"\mathrm{e}^x")}
for tex, found in seen.items():
    print(f"{tex:16}", "  ".join(f"{letter} {'upright' if upright else 'italic'}" for letter, upright in found))
wanted = {
    r"\mathrm{d}y": [("d", False), ("y", False)],
    r"\mathrm dy": [("d", True), ("y", False)],
    r"\mathrm{dy}": [("d", True), ("y", True)],
    r"A^{\mathrm{T}}": [("A", False), ("T", False)],
    r"\mathrm{e}^x": [("e", False), ("x", False)],
}
sys.exit(seen != wanted)
PY
"$folder/venv/bin/python" "$folder/letters.py"
echo "as described"
