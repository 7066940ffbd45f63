"""Every error that a user can cause, each with the exit status that the command line ends with.

A message says what was given, what was expected and what to do. Nothing here imports anything of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ShoploomError(Exception):
    """Base of all errors that Shoploom raises on purpose; ``exit_code`` 1 means the data or the model is at fault."""

    exit_code = 1


class UsageError(ShoploomError):
    """A wrong option, name or configuration value; the command line ends with 2."""

    exit_code = 2


class ConfigError(UsageError):
    """``shoploom.toml`` or a ``key=value`` override is wrong."""


class DataError(ShoploomError):
    """The shop's data cannot be used as it is."""


class SchemaError(DataError):
    """A table lacks a column, or a column holds what it must not hold."""


class QualityError(DataError):
    """The quality gate found something that must be mended before training."""


class WorkspaceError(ShoploomError):
    """The workspace directory is missing, locked, from another version, or damaged."""


class NotFoundError(ShoploomError):
    """A customer, product, task or model version that does not exist."""


class HarmError(ShoploomError):
    """A task is worse off for being trained together with the others."""


class NotReadyError(ShoploomError):
    """Nothing has been trained or promoted yet."""


class MissingExtraError(ShoploomError):
    """An optional package is not installed.

    Args:
        package: What could not be imported.
        extra: The extra that brings it.
    """

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed; run: pip install "shoploom[{extra}]"')


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence for a name that is not in a list, with the nearest one that is.

    Example:
        >>> unknown_name("task", "chrun", ["churn", "spend"])
        "task 'chrun' is unknown; known: churn, spend. Did you mean 'churn'?"
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{kind} {name!r} is unknown; known: {', '.join(names) or 'none'}.{hint}"
