from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoploom.errors import UsageError
from shoploom.inference.expressions import MOST_CHARACTERS, Check, Every, Not, Some, parse


def test_and_binds_tighter_than_or_and_not_tightest() -> None:
    a, b, c = Check("a", "true"), Check("b", "true"), Check("c", "true")
    assert parse("a or b and not c") == Some((a, Every((b, Not(c)))))
    assert parse("(a or b) and not not c") == Every((Some((a, b)), Not(Not(c))))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("price<5", Check("price", "<", (5.0,))),
        ("price >= -1.5e2", Check("price", ">=", (-150.0,))),
        ("title CONTAINS 'it'", Check("title", "contains", ("it",))),
        (r'brand == "say \"A\" \\"', Check("brand", "==", ('say "A" \\',))),
        ("`pack size` != 'x'", Check("pack size", "!=", ("x",))),
        ("brand not in ('A', \"B\",)", Not(Check("brand", "in", ("A", "B")))),
        ("in_stock == false", Check("in_stock", "==", (False,))),
        ("größe == 'ü'", Check("größe", "==", ("ü",))),
        (" a\n and\tb ", Every((Check("a", "true"), Check("b", "true")))),
    ],
)
def test_each_form_of_a_check(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "expected a column such as price, 'not' or '\\(', found the end"),
        ("price <", 8, "expected a value.*found the end"),
        ("price < and brand", 9, "expected a value.*found 'and'"),
        ("brand == A", 10, "found 'A'; a text stands in quotes"),
        ("price = 5", 7, "equality is =="),
        ("a && b", 3, "write and"),
        ("!a", 1, "write not"),
        ('title == "abc', 10, 'quote " that opens here is never closed'),
        ("(a or b", 8, "expected '\\)', 'and' or 'or', found the end"),
        ("a b", 3, "expected 'and', 'or' or the end, found 'b'"),
        ("a not b", 7, "expected 'in' after 'not'"),
        ("a in 5", 6, "expected '\\(' and values"),
        ("a in ()", 7, "expected a value"),
        ("title contains 5", 16, "expected a text after contains"),
        ("__import__('os')", 11, "expected 'and', 'or' or the end"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text: str, column: int, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        parse(text)
    first, line, caret = str(caught.value).split("\n")
    assert first.startswith(f"column {column}: ")
    assert line == f"    {text}"
    assert caret == " " * (3 + column) + "^"


def test_a_long_text_is_shown_around_the_place() -> None:
    text = "a and " * 100 + "< 5"
    with pytest.raises(UsageError, match="column 601") as caught:
        parse(text)
    _, line, caret = str(caught.value).split("\n")
    assert line[caret.index("^")] == "<"
    assert len(line) < 100


def test_depth_and_length_are_limited() -> None:
    with pytest.raises(UsageError, match="more than 40 levels"):
        parse("(" * 500 + "a" + ")" * 500)
    with pytest.raises(UsageError, match="more than 40 levels"):
        parse("not " * 300 + "a")
    with pytest.raises(UsageError, match="2,001 characters is too long"):
        parse("a" * (MOST_CHARACTERS + 1))
    assert parse(" and ".join(["(a)"] * 200)) == Every((Check("a", "true"),) * 200)  # width is no depth


PIECES = [
    "price",
    "and",
    "or",
    "not",
    "in",
    "(",
    ")",
    ",",
    "==",
    "<",
    "=",
    "5",
    "-1e9",
    "'x'",
    '"',
    "`",
    "contains",
    " ",
]


@given(text=st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map(" ".join)))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    refused = None
    try:
        tree = parse(text)
    except UsageError as error:
        refused = str(error)
    assert refused.startswith("column ") if refused else isinstance(tree, Check | Not | Every | Some)


def test_what_is_no_text_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="column 10: this character is no Unicode"):
        parse("brand == '\udcff'"[:9] + "\udcff")
