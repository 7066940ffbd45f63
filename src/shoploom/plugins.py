"""Plugin tables: a name leads to ``"module:Attribute"``, and nothing is imported before it is asked for.

Built-ins stand in an explicit dict in their package; third parties come in through entry points of the same group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from shoploom.errors import UsageError, unknown_name


class PluginTable:
    """An ordered table of things that can be added with one file and one line.

    Args:
        kind: What an entry is called in messages, for example ``"task"``.
        group: Entry-point group through which other packages add entries.
        builtin: Name to ``"module:Attribute"``.

    Example:
        >>> table = PluginTable("thing", "shoploom.things", {"dumps": "json:dumps"})
        >>> table.load("dumps")([1])
        '[1]'
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)

    def targets(self) -> dict[str, str]:
        """All names with their targets; a third party cannot silently replace a built-in."""
        found = dict(self._builtin)
        for name, target in _entry_points(self.group):
            if name in found and found[name] != target:
                raise UsageError(f"the installed plugin {target} wants the name {name!r} of a built-in {self.kind}")
            found[name] = target
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.targets())

    def __len__(self) -> int:
        return len(self.targets())

    def __contains__(self, name: object) -> bool:
        return name in self.targets()

    def load(self, name: str) -> Any:
        """The object behind a name.

        Raises:
            UsageError: If the name is not in the table; the message names the nearest one.
        """
        targets = self.targets()
        if name not in targets:
            raise UsageError(unknown_name(self.kind, name, targets))
        module, _, attribute = targets[name].partition(":")
        return getattr(import_module(module), attribute)


@cache
def _entry_points(group: str) -> tuple[tuple[str, str], ...]:
    return tuple((entry.name, entry.value) for entry in entry_points(group=group))
