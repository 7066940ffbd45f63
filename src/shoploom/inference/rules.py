"""Business rules on ranked lists: what must be shown, what must not, and what moves up or down.

Standing rules come from ``[[recommend.rules]]`` of ``shoploom.toml`` and hold in every list, others come with a
request. Rules that cannot hold together are errors. Knows nothing of the catalogue: whether a pinned product may be
shown is seen in ``inference.rerank``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NoReturn

from shoploom.config import EXCLUSIONS, RuleConfig
from shoploom.errors import ConfigError, UsageError, unknown_name
from shoploom.inference.expressions import Not, Tree, parse

MOST_RULES: Final = 50
MOST_FACTOR: Final = 1000.0
BOUGHT, OUT_OF_STOCK = EXCLUSIONS


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        kind: ``filter``, ``boost``, ``bury``, ``pin``, ``cap`` or ``exclude``.
        subject: An expression, the id of a product, a column, or what is excluded; by kind.
        number: Factor of a boost or bury, position of a pin from 1, most of a cap; 0 for the others.
        place: Which of ``[[recommend.rules]]`` it is, counted from 1; 0: a request's.

    Raises:
        UsageError: If the number is out of range, or an expression does not parse; ``ConfigError`` for standing rules.

    Example:
        >>> str(Rule("cap", "brand", 2))
        'cap=brand:2'
    """

    kind: str
    subject: str
    number: float = 0.0
    place: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.kind in ("filter", "boost", "bury"):
            try:
                parse(self.subject)
            except UsageError as error:
                self.fail(f"does not parse at {error}", cause=error)
        if self.kind in ("boost", "bury") and not 1 < self.number <= MOST_FACTOR:
            other = {"boost": "bury", "bury": "boost"}[self.kind]
            self.fail(f"has the factor {self.number:g}; wanted one above 1, such as 1.5 (the opposite is {other})")
        if self.kind in ("pin", "cap") and (self.number < 1 or not float(self.number).is_integer()):
            self.fail(f"has {self.number:g} behind it; wanted a whole number from 1")
        if self.kind == "exclude" and self.subject not in EXCLUSIONS:
            self.fail(f"cannot be: {unknown_name('exclude', self.subject, EXCLUSIONS)}")

    def __str__(self) -> str:
        sign = {"boost": "*", "bury": "*", "pin": "@", "cap": ":"}.get(self.kind)
        return f"{self.kind}={self.subject}" + (f"{sign}{self.number:g}" if sign else "")

    @property
    def standing(self) -> bool:
        """Whether it is from ``shoploom.toml``."""
        return self.place > 0

    @property
    def tree(self) -> Tree:
        """The parsed expression of a filter, boost or bury."""
        return parse(self.subject)

    def fail(self, what: str, *, cause: Exception | None = None) -> NoReturn:
        """Raise what is wrong with this rule, saying where it stands."""
        if self.standing:
            raise ConfigError(f"shoploom.toml, [[recommend.rules]] number {self.place}: {self} {what}") from cause
        raise UsageError(f"{self} {what}") from cause


@dataclass(frozen=True)
class Rules:
    """All rules of one list.

    Args:
        every: In their order.
        set_aside: Standing pins that gave way to pins of the request.

    Raises:
        UsageError: If two of them contradict each other.

    Example:
        >>> rules = Rules.of_texts(filter=["price < 5"], boost=['brand == "A" * 1.5'], pin=["p7@1"])
        >>> [str(one) for one in rules.every]
        ['filter=price < 5', 'boost=brand == "A"*1.5', 'pin=p7@1']
    """

    every: tuple[Rule, ...] = ()
    set_aside: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        _require_room([one for one in self.every if not one.standing])
        _require_apart(self.of("pin"), lambda one: one.number, "both want position {0:g}; give one of them another")
        _require_apart(self.of("pin"), lambda one: one.subject, "pin one product twice; keep one of them")
        caps = [(one, other) for one in self.of("cap") for other in self.of("cap") if one.subject == other.subject]
        for one, other in caps:
            if one.number != other.number and one.standing == other.standing:
                one.fail(f"contradicts {other}; keep one of them")
        _require_no_opposites(self.of("boost"), self.of("bury"))
        _require_something_left(self.of("filter"))

    def __bool__(self) -> bool:
        return bool(self.every)

    @classmethod
    def of_texts(
        cls,
        *,
        filter: Iterable[str] = (),
        boost: Iterable[str] = (),
        bury: Iterable[str] = (),
        pin: Iterable[str] = (),
        cap: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> Rules:
        """Rules as a request writes them.

        Args:
            filter: Expressions.
            boost: ``EXPRESSION*FACTOR``.
            bury: ``EXPRESSION*FACTOR``.
            pin: ``ID@POSITION``.
            cap: ``COLUMN:MOST``.
            exclude: ``bought`` or ``out_of_stock``.

        Raises:
            UsageError: If one is written in another form, or two contradict each other.
        """
        rules = [Rule("filter", one) for one in filter]
        rules += [_numbered("boost", one, "*", "EXPRESSION*FACTOR, such as price < 5*1.5") for one in boost]
        rules += [_numbered("bury", one, "*", "EXPRESSION*FACTOR, such as price > 50*2") for one in bury]
        rules += [_numbered("pin", one, "@", "ID@POSITION, such as 4711@1") for one in pin]
        rules += [_numbered("cap", one, ":", "COLUMN:MOST, such as brand:2") for one in cap]
        rules += [Rule("exclude", one) for one in exclude]
        return cls(tuple(rules))

    @classmethod
    def of_config(cls, tables: Sequence[RuleConfig]) -> Rules:
        """The standing rules of ``[[recommend.rules]]``.

        Raises:
            ConfigError: If one is wrong, or two contradict each other; says which.
        """
        return _of_config(tuple(tables))

    def of(self, kind: str) -> list[Rule]:
        """The rules of one kind."""
        return [one for one in self.every if one.kind == kind]

    @property
    def restricting(self) -> list[Rule]:
        """The rules that leave products out whoever asks: filters, and ``exclude=out_of_stock``."""
        return [*self.of("filter"), *(one for one in self.of("exclude") if one.subject == OUT_OF_STOCK)]

    def excludes(self, what: str) -> bool:
        """Whether ``bought`` or ``out_of_stock`` products are left out."""
        return any(one.subject == what for one in self.of("exclude"))

    def without(self, some: Collection[Rule]) -> Rules:
        """These rules but for some."""
        return replace(self, every=tuple(one for one in self.every if one not in some)) if some else self

    def with_request(self, other: Rules) -> Rules:
        """These standing rules and those of a request, whose pins come first where both want a place or a product."""
        if not other or not self:
            return other if other else self
        places = {one.number for one in other.of("pin")}
        products = {one.subject for one in other.of("pin")}
        aside = [one for one in self.of("pin") if one.number in places or one.subject in products]
        return Rules(tuple(one for one in self.every if one not in aside) + other.every, tuple(aside))


@lru_cache(maxsize=16)
def _of_config(tables: tuple[RuleConfig, ...]) -> Rules:
    found = []
    for place, one in enumerate(tables, start=1):
        kind = next(name for name in ("filter", "boost", "bury", "pin", "cap", "exclude") if getattr(one, name))
        found.append(Rule(kind, getattr(one, kind), one.factor or one.position or one.most, place))
    return Rules(tuple(found))


def _numbered(kind: str, text: str, sign: str, form: str) -> Rule:
    subject, found, number = text.rpartition(sign)
    try:
        value = float(number)
    except ValueError:
        found = ""
    if not found or not subject.strip():
        raise UsageError(f"{kind}={text} has another form; write {kind}={form}")
    return Rule(kind, subject if kind == "pin" else subject.strip(), value)


def _require_room(rules: Sequence[Rule]) -> None:
    if len(rules) > MOST_RULES:
        raise UsageError(f"{len(rules)} rules in one request; at most {MOST_RULES} are read, more go to shoploom.toml")


def _require_apart(rules: Sequence[Rule], key: Callable[[Rule], float | str], what: str) -> None:
    seen: dict[float | str, Rule] = {}
    for one in rules:
        first = seen.setdefault(key(one), one)
        if first is not one:
            one.fail(f"and {first} {what.format(key(one))}")


def _require_no_opposites(boosts: Sequence[Rule], buries: Sequence[Rule]) -> None:
    for one in buries:
        for other in boosts:
            if one.tree == other.tree:
                one.fail(f"and {other} move the same products down and up; keep one of them")


def _require_something_left(filters: Sequence[Rule]) -> None:
    trees = {one.tree: one for one in filters}
    for one in filters:
        if isinstance(one.tree, Not) and one.tree.part in trees:
            one.fail(f"and {trees[one.tree.part]} leave no product; keep one of them")
