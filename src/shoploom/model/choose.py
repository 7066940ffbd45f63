"""Sharing schemes and balancing methods by name and options, as a configuration gives them; refuses what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from shoploom.errors import UsageError, unknown_name
from shoploom.model.balancing import BALANCING
from shoploom.model.balancing.base import Balancer
from shoploom.model.sharing import SHARING
from shoploom.model.sharing.base import Sharing
from shoploom.plugins import PluginTable

GIVEN = ("dim", "tasks", "dropout", "weights")
"""Arguments that are not options: who builds the part gives them."""


def make_sharing(
    name: str,
    dim: int,
    *,
    tasks: Sequence[str],
    dropout: float = 0.1,
    options: Mapping[str, float] | None = None,
) -> Sharing:
    """A trunk of width D with fresh weights; seed torch first.

    Raises:
        UsageError: If the scheme or an option is unknown, or a value is out of range.
    """
    found: Sharing = SHARING.load(name)(dim, tasks=tasks, dropout=dropout, **checked(SHARING, name, options or {}))
    return found


def make_balancer(
    name: str,
    tasks: Sequence[str],
    *,
    options: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
) -> Balancer:
    """A balancing method for some tasks.

    Args:
        name: Key of ``BALANCING``.
        tasks: Names of all losses that may come.
        options: Of the method.
        weights: By task, for a method that takes them (``static``).

    Raises:
        UsageError: If the method or an option is unknown, a value is out of range, or weights are given to a
            method that finds its own.
        MissingExtraError: If the method needs a package that is not installed.
    """
    make = BALANCING.load(name)
    known = checked(BALANCING, name, options or {})
    takes_weights = "weights" in inspect.signature(make).parameters
    if weights and not takes_weights:
        raise UsageError(
            f"weights are given for {', '.join(sorted(weights))}, but balancing {name!r} finds its own; leave out the "
            "weights, or use balancing 'static'"
        )
    found: Balancer = make(tasks, weights=weights, **known) if takes_weights else make(tasks, **known)
    return found


def checked(table: PluginTable, name: str, options: Mapping[str, float]) -> dict[str, float]:
    """Options of an entry, whole numbers where it wants them.

    Raises:
        UsageError: If the entry has no such option; the message says what has it.
    """
    known = _options(table.load(name))
    found: dict[str, float] = {}
    for option, value in options.items():
        if option not in known:
            raise UsageError(_unknown(table, name, option, known))
        if known[option].annotation in ("int", int):
            if value != int(value):
                raise UsageError(f"option {option!r} of {table.kind} {name!r} is {value}; wanted a whole number")
            value = int(value)
        found[option] = value
    return found


def _options(make: Any) -> dict[str, inspect.Parameter]:
    every = inspect.signature(make).parameters
    return {name: one for name, one in every.items() if one.kind is one.KEYWORD_ONLY and name not in GIVEN}


def _unknown(table: PluginTable, name: str, option: str, known: Mapping[str, Any]) -> str:
    owners = [other for other in table if other != name and option in _options(table.load(other))]
    message = unknown_name(f"option of {table.kind} {name!r},", option, known)
    return f"{message} {option!r} belongs to {', '.join(owners)}." if owners else message
