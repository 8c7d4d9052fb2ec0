#!/usr/bin/env bash
# Equal rows of one float32 matrix product are not equal: with OpenBLAS's kernel for AVX2 (Haswell, and Zen, which has
# the same) rows 6 to 11 of each 12 come out in other last bits than rows 0 to 5.  With its kernel for AVX-512
# (SkylakeX) all 24 rows are the same bits.
#
# One would guess that row i of x @ W is a function of row i of x and of W, whatever the place of the row.  In fact a
# kernel takes some rows at a time, and adds up the products of a row in another order in its last, narrower block.  So
# a model's logits for a text depend, in their last bits, on the batch that the text is in and on its place there, and
# two equal prompts of a batch can part at a near-tie.
#
# Seen: numpy 2.4.6 from PyPI (scipy-openblas 0.3.31.188.0), Python 3.11, x86-64 with AVX-512.  Needs AVX2; the part
# about SkylakeX is skipped where there is no AVX-512.  Fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 threadpoolctl==3.6.0

cat >"$folder/rows.py" <<'PY'
import sys

import numpy as np
from threadpoolctl import threadpool_info

rng = np.random.default_rng(0)
x = rng.standard_normal(768, dtype=np.float32)
W = rng.standard_normal((768, 768), dtype=np.float32)
y = np.tile(x, (24, 1)) @ W  # 24 equal rows
differing = [i for i in range(24) if (y[i] != y[0]).any()]
print(threadpool_info()[0]["architecture"], "rows that differ from row 0:", differing)
sys.exit(differing != eval(sys.argv[1]))
PY

run() { OPENBLAS_CORETYPE=$1 OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/rows.py" "$2"; }
run Haswell '[6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]'
run Zen '[6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]'  # reports itself as Haswell: it is the same kernel
if grep -q avx512f /proc/cpuinfo; then run SkylakeX '[]'; fi
echo "as described"
