"""Sparse matrices as arrays of a file, and back; the largest values of rows."""

# Shapes: R rows, C columns

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def to_arrays(matrix: sp.csr_matrix) -> dict[str, NDArray[Any]]:
    """Data, indices, offsets and width of a csr matrix."""
    return {
        "data": matrix.data,
        "indices": matrix.indices.astype(np.int32),
        "indptr": matrix.indptr.astype(np.int64),
        "width": np.array([matrix.shape[1]]),
    }


def from_arrays(arrays: dict[str, NDArray[Any]]) -> sp.csr_matrix:
    """The inverse of ``to_arrays``."""
    shape = (len(arrays["indptr"]) - 1, int(arrays["width"][0]))
    return sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)


def largest(matrix: sp.csr_matrix, most: int) -> sp.csr_matrix:
    """The ``most`` largest values of each row; those equal to the last one stay, too."""
    kept = np.ones(len(matrix.data), dtype=bool)
    for row in np.flatnonzero(np.diff(matrix.indptr) > most):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        values = matrix.data[part]
        kept[part] = values >= np.partition(values, len(values) - most)[len(values) - most]
    sizes = np.bincount(np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[kept], minlength=matrix.shape[0])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], offsets), shape=matrix.shape)
