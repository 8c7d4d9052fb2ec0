"""Heat maps and numbers: small, and true to the array."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_gpt.study.trace.stats import heat_map, stats_of

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12)
entries = st.floats(-100, 100, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
arrays = shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=entries))


@given(arrays, st.integers(1, 5), st.integers(1, 5))
def test_a_heat_map_is_small_and_its_cells_are_of_the_array(array, rows, columns):
    drawn = heat_map(array, rows, columns)
    if not array.size:
        assert drawn.grid.size == 0
        return
    matrix = array.reshape(1, -1) if array.ndim < 2 else array.reshape(-1, array.shape[-1])
    assert drawn.shape == matrix.shape
    wide = min(columns, matrix.shape[1])
    assert drawn.grid.shape == (min(rows * columns // wide, matrix.shape[0]), wide)
    assert drawn.grid.dtype == np.int8
    assert (drawn.grid == -128).any() <= np.isnan(matrix).any()
    finite = np.abs(matrix[np.isfinite(matrix)])
    assert 0 <= drawn.scale <= finite.max(initial=0)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-1, 1)))
def test_a_cell_is_the_entry_of_largest_magnitude(array):
    drawn = heat_map(array, 4, 3)
    n_rows, n_columns = drawn.grid.shape
    blocks = [np.array_split(part, n_columns, axis=1) for part in np.array_split(array, n_rows)]
    for i, parts in enumerate(blocks):
        for j, part in enumerate(parts):
            largest = part.flat[np.abs(part).argmax()]
            if (np.abs(part) == abs(largest)).sum() == 1 and drawn.scale:
                assert drawn.grid[i, j] == np.rint(127 * np.clip(largest / drawn.scale, -1, 1))


def test_what_fits_is_drawn_as_it_is():
    drawn = heat_map(np.array([[1.0, -0.5], [0.0, np.nan]]))
    assert drawn.grid.tolist()[0][1] < 0 == drawn.grid.tolist()[1][0]
    assert drawn.grid.tolist()[1][1] == -128
    assert drawn.grid.tolist()[0][0] == 127


@given(arrays)
def test_the_numbers_are_numpys(array):
    stats, x = stats_of(array), array.astype(np.float64)
    assert (stats.shape, stats.dtype) == (array.shape, "float32")
    with np.errstate(all="ignore"):
        want = [x.mean(), x.std(), x.min(), x.max()] if x.size else [np.nan] * 4
    assert np.array_equal([stats.mean, stats.std, stats.min, stats.max], want, equal_nan=True)
    assert stats.n_bad == (~np.isfinite(x)).sum()


def test_numbers_of_ids_and_bools():
    assert stats_of(np.array([1, 2, 3])).mean == 2
    assert stats_of(np.array([True, False])).mean == 0.5
