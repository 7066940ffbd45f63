"""Shoploom: one multi-task model for a whole shop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Shop", "__version__"]

if TYPE_CHECKING:
    from shoploom.shop import Shop


def __getattr__(name: str) -> Any:
    """Import ``Shop`` on first use, so that ``import shoploom`` stays quick."""
    if name == "Shop":
        from shoploom.shop import Shop

        return Shop
    raise AttributeError(f"module 'shoploom' has no attribute {name!r}")
