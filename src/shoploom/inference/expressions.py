"""A small language that picks products: ``category == "DRINKS" and price < 5 and not brand in ("A", "B")``.

Read by a parser of its own into a tree; nothing is ever evaluated as code. Knows nothing of catalogues: which names
there are, and for which products an expression holds, is up to ``inference.matching``.

    expression = all {"or" all}
    all        = one {"and" one}
    one        = "not" one | "(" expression ")" | check
    check      = NAME [("==" | "!=" | "<" | "<=" | ">" | ">=" | "contains") value | ["not"] "in" "(" values ")"]
    value      = "text" | 'text' | number | true | false

A name with other characters than letters, digits and ``_`` stands in backticks. A name alone asks whether it is
true: yes for a flag, known and not 0 for a number, known and not "no" for a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from shoploom.errors import UsageError

Value = str | float | bool
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "contains", "true"]
COMPARISONS: Final[tuple[Operator, ...]] = ("==", "!=", "<=", ">=", "<", ">")
MOST_CHARACTERS: Final = 2000
MOST_NESTED: Final = 40
_KEYWORDS: Final = ("and", "or", "not", "in", "contains", "true", "false")
_SHOWN: Final = 60
_HINTS: Final = {
    "=": "; equality is ==",
    "&": "; write and",
    "|": "; write or",
    "!": "; write not, or != between a name and a value",
}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<quoted>`[^`]+`)
    |(?P<word>[^\W0-9]\w*)
    |(?P<sign>==|!=|<=|>=|<|>|\(|\)|,)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Check:
    """A question about one column of a product.

    Args:
        name: The column.
        operator: ``in`` has several values, ``true`` none, all others one.
        values: What the column is compared with.
        at: Where the name stands in the text; no part of what is asked.
        places: Where each value stands.
    """

    name: str
    operator: Operator
    values: tuple[Value, ...] = ()
    at: int = field(default=0, compare=False)
    places: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Not:
    """Holds where its part does not."""

    part: Tree


@dataclass(frozen=True)
class Every:
    """Holds where all parts do."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True)
class Some:
    """Holds where at least one part does."""

    parts: tuple[Tree, ...]


Tree = Check | Not | Every | Some


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


@lru_cache(maxsize=1000)
def parse(text: str) -> Tree:
    """The tree of an expression; two texts that say the same in the same order have equal trees.

    Raises:
        UsageError: If the text does not parse; says where and what was expected.

    Example:
        >>> parse('price < 5 and not brand in ("A", "B")').parts[0]
        Check(name='price', operator='<', values=(5.0,), at=0, places=(8,))
        >>> parse("price  <  5") == parse("(price < 5.0)")
        True
    """
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"an expression of {len(text):,} characters is too long; at most {MOST_CHARACTERS:,} are read")
    broken = next((at for at, sign in enumerate(text) if "\ud800" <= sign <= "\udfff"), None)
    if broken is not None:
        raise problem(text.encode(errors="replace").decode(), broken, "this character is no Unicode; write UTF-8")
    return _Parser(text).whole()


def problem(text: str, at: int, what: str) -> UsageError:
    """An error that shows the place in the text.

    Example:
        >>> print(problem("price << 5", 7, "expected a value"))
        column 8: expected a value
            price << 5
                   ^
    """
    start = max(0, at - _SHOWN)
    line = re.sub(r"\s", " ", text[start : at + _SHOWN])
    return UsageError(f"column {at + 1}: {what}\n    {line}\n    {' ' * (at - start)}^")


class _Parser:
    """One pass over the tokens of a text, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._some()
        if self._look().kind != "end":
            raise self._expected("'and', 'or' or the end")
        return tree

    def _some(self) -> Tree:
        parts = [self._every()]
        while self._take_word("or"):
            parts.append(self._every())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _every(self) -> Tree:
        parts = [self._one()]
        while self._take_word("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self) -> Tree:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise problem(self._text, self._look().at, f"more than {MOST_NESTED} levels of 'not' and parentheses")
        if self._take_word("not"):
            tree: Tree = Not(self._one())
        elif self._take_sign("("):
            tree = self._some()
            if not self._take_sign(")"):
                raise self._expected("')', 'and' or 'or'")
        else:
            tree = self._check()
        self._depth -= 1
        return tree

    def _check(self) -> Tree:
        name = self._look()
        if name.kind not in ("name", "quoted"):
            raise self._expected("a column such as price, 'not' or '('")
        self._next += 1
        return self._compared(name)

    def _compared(self, name: _Token) -> Tree:
        following = self._look()
        if following.kind == "sign" and following.text in COMPARISONS:
            self._next += 1
            value, at = self._value()
            operator = next(one for one in COMPARISONS if one == following.text)
            return Check(name.text, operator, (value,), name.at, (at,))
        if self._take_word("contains"):
            value, at = self._value()
            if not isinstance(value, str):
                raise problem(self._text, at, 'expected a text after contains, such as "organic"')
            return Check(name.text, "contains", (value,), name.at, (at,))
        if self._take_word("in"):
            return self._among(name)
        if self._take_word("not"):
            if not self._take_word("in"):
                raise self._expected("'in' after 'not'")
            return Not(self._among(name))
        return Check(name.text, "true", (), name.at)

    def _among(self, name: _Token) -> Check:
        if not self._take_sign("("):
            raise self._expected("'(' and values with commas between them")
        found = [self._value()]
        while self._take_sign(",") and self._look().text != ")":
            found.append(self._value())
        if not self._take_sign(")"):
            raise self._expected("',' or ')'")
        return Check(name.text, "in", tuple(value for value, _ in found), name.at, tuple(at for _, at in found))

    def _value(self) -> tuple[Value, int]:
        token = self._look()
        if token.kind == "number":
            value: Value = float(token.text)
        elif token.kind == "text":
            value = re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        elif token.kind == "keyword" and token.text in ("true", "false"):
            value = token.text == "true"
        else:
            hint = "; a text stands in quotes" if token.kind == "name" else ""
            raise self._expected('a value: a number, a "text", true or false', hint)
        self._next += 1
        return value, token.at

    def _look(self) -> _Token:
        return self._tokens[self._next]

    def _take_word(self, word: str) -> bool:
        return self._take(_Token("keyword", word, self._look().at))

    def _take_sign(self, sign: str) -> bool:
        return self._take(_Token("sign", sign, self._look().at))

    def _take(self, wanted: _Token) -> bool:
        found = self._look() == wanted
        self._next += found
        return found

    def _expected(self, what: str, hint: str = "") -> UsageError:
        token = self._look()
        found = "the end" if token.kind == "end" else repr(token.text)
        return problem(self._text, token.at, f"expected {what}, found {found}{hint}")


def _tokens(text: str) -> list[_Token]:
    """All tokens and one that marks the end; keywords in lower case, quoted names without their backticks."""
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        kind, token = str(match.lastgroup), match.group()
        if kind == "word":
            keyword = token.lower() in _KEYWORDS
            found.append(_Token("keyword" if keyword else "name", token.lower() if keyword else token, at))
        elif kind != "space":
            found.append(_Token(kind, token[1:-1] if kind == "quoted" else token, at))
        at = match.end()
    return [*found, _Token("end", "", len(text))]


def _unreadable(text: str, at: int) -> UsageError:
    sign = text[at]
    if sign in "\"'`":
        return problem(text, at, f"the quote {sign} that opens here is never closed")
    return problem(text, at, f"{sign!r} means nothing here{_HINTS.get(sign, '')}")
