"""Sparse matrices as plain arrays, for members that are made of them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from shoploom.ensemble.members.storage import Arrays


def sparse_arrays(name: str, matrix: sp.csr_matrix) -> Arrays:
    """The three arrays of a CSR matrix under names of their own."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices.astype(np.int32),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
    }


def sparse_from(name: str, arrays: Arrays, width: int) -> sp.csr_matrix:
    """The inverse of ``sparse_arrays``.

    Args:
        name: As it was saved.
        arrays: All arrays of the member.
        width: Number of columns.
    """
    data, indices, indptr = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, width))
