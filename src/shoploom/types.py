"""Names for the two kinds of ids, so that the type checker catches a swap, and for arrays."""

from __future__ import annotations

from typing import Any, NewType

import numpy as np
from numpy.typing import NDArray

ExternalId = NewType("ExternalId", str)
"""An id of the shop's own: a string, kept exactly as the shop spells it."""

InternalId = NewType("InternalId", int)
"""A row number in one of our tables; it never leaves the process."""

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
