"""Embedding: rows of a table, row ids[n] for each n.

    y_n = table[ids_n]

Gradient.  y is onehot(ids) @ table, so dtable = onehot(ids)ᵀ dy: row v gets the sum of dy_n over all n with ids_n = v.
A token that occurs twice in the batch counts twice; NumPy's `dtable[ids] += dy` would add only one of the two.

Shapes.   table (V, C), ids (...) of int  ->  y (..., C).
Saved.    ids and the table's shape.
Errors.   IndexError from NumPy for ids outside [-V, V).  The model checks before the call that ids are in [0, V).
Check.    Token 1 occurs twice, so its row gets 1 + 10:

    >>> import numpy as np
    >>> y, vjp = embedding(np.array([[1.0], [2.0]]), np.array([1, 1, 0]))
    >>> y.tolist(), vjp(np.array([[1.0], [10.0], [100.0]]))[0].tolist()
    ([[2.0], [2.0], [1.0]], [[100.0], [11.0]])
"""

from tinygrad_gpt.backend import Array, Vjp, array_module, scatter_add


def embedding(table: Array, ids: Array) -> tuple[Array, Vjp]:
    """Rows of a table by number.

    Backward: a row receives the sum over the positions of its token; the row of an absent token receives 0.
    """
    xp, shape, dtype = array_module(table), table.shape, table.dtype

    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = xp.zeros(shape, dtype)
        scatter_add(dtable, ids.reshape(-1), dy.reshape(ids.size, shape[-1]))
        return dtable, None

    return table[ids], vjp
