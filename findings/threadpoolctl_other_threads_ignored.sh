#!/usr/bin/env bash
# threadpoolctl's threadpool_limits does nothing, and says nothing, if another Python thread of the process has set
# OpenBLAS's threads before and still lives: NumPy goes on with as many BLAS threads as before.
#
# One would guess that `with threadpool_limits(1):` limits BLAS for the block wherever it runs, as it did up to version
# 3.7.  From 3.8 on, the first thread that sets the threads of an OpenBLAS built with pthreads (NumPy's wheels) controls
# them.  A program that has limited BLAS once in its main thread can no longer limit it in a worker thread (a notebook's
# server, a queue of jobs), which then computes with all cores; the block's own info() tells the truth.
#
# Seen: threadpoolctl 3.8.0 with NumPy 2.4.6 from PyPI (OpenBLAS 0.3.31, pthreads), Python 3.11, two cores; with 3.7.0
# the limit holds.  Fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"

cat >"$folder/limit.py" <<'PY'
import sys
import threading

import numpy
from threadpoolctl import threadpool_info, threadpool_limits


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]


def limit(seen):
    with threadpool_limits(1, user_api="blas"):
        seen.append(blas_threads())


numpy.ones((2, 2)) @ numpy.ones((2, 2))
with threadpool_limits(2, user_api="blas"):  # the main thread sets them once
    here, elsewhere = [], []
    worker = threading.Thread(target=limit, args=(elsewhere,))
    worker.start()
    worker.join()
    limit(here)
print("limited to 1 in the main thread:", here[0], " in another thread:", elsewhere[0])
sys.exit([here[0], elsewhere[0]] != [[1], [int(sys.argv[1])]])
PY
for version in 3.7.0:1 3.8.0:2; do
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 "threadpoolctl==${version%:*}"
    echo "threadpoolctl ${version%:*}"
    "$folder/venv/bin/python" "$folder/limit.py" "${version#*:}"
done
echo "as described"
