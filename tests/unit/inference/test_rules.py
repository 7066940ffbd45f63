from __future__ import annotations

import pytest

from shoploom.config import RuleConfig
from shoploom.errors import ConfigError, UsageError
from shoploom.inference.rules import MOST_RULES, Rule, Rules


def texts(rules: Rules) -> list[str]:
    return [str(one) for one in rules.every]


def test_requests_write_a_rule_per_parameter() -> None:
    rules = Rules.of_texts(
        filter=['title contains "5*2"'],
        boost=["price < 5 * 1.5"],
        bury=['brand == "a@b"*2'],
        pin=["id@with@signs@3"],
        cap=["category_1:2"],
        exclude=["bought"],
    )
    assert rules.every == (
        Rule("filter", 'title contains "5*2"'),
        Rule("boost", "price < 5", 1.5),
        Rule("bury", 'brand == "a@b"', 2),
        Rule("pin", "id@with@signs", 3),
        Rule("cap", "category_1", 2),
        Rule("exclude", "bought"),
    )
    assert rules.excludes("bought")
    assert not rules.excludes("out_of_stock")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"filter": ["price <"]}, r"filter=price < does not parse at column 8: expected a value.*\n    price <\n"),
        ({"boost": ["price < 5"]}, r"boost=price < 5 has another form; write boost=EXPRESSION\*FACTOR"),
        ({"boost": ["price < 5*0.5"]}, "factor 0.5; wanted one above 1.*opposite is bury"),
        ({"bury": ["price < 5*nan"]}, "factor nan; wanted one above 1.*opposite is boost"),
        ({"boost": ["*2"]}, "has another form"),
        ({"pin": ["p1"]}, "pin=p1 has another form; write pin=ID@POSITION"),
        ({"pin": ["p1@0"]}, "pin=p1@0 has 0 behind it; wanted a whole number from 1"),
        ({"pin": ["p1@inf"]}, "wanted a whole number from 1"),
        ({"cap": ["brand:1.5"]}, "wanted a whole number from 1"),
        ({"exclude": ["bougth"]}, "exclude=bougth cannot be.*Did you mean 'bought'"),
        ({"filter": ["price < 5"] * (MOST_RULES + 1)}, "51 rules in one request; at most 50"),
        ({"pin": ["a@1", "b@1"]}, "pin=b@1 and pin=a@1 both want position 1"),
        ({"pin": ["a@1", "a@2"]}, "pin=a@2 and pin=a@1 pin one product twice"),
        ({"boost": ["brand*2"], "bury": ["( brand ) * 3"]}, "move the same products down and up"),
        ({"cap": ["brand:1", "brand:2"]}, "cap=brand:1 contradicts cap=brand:2"),
        ({"filter": ["in_stock", "not in_stock"]}, "filter=not in_stock and filter=in_stock leave no product"),
    ],
)
def test_wrong_and_contradicting_rules_are_refused(given: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Rules.of_texts(**given)
    assert not isinstance(caught.value, ConfigError)


def test_standing_rules_say_which_table_is_wrong() -> None:
    tables = [RuleConfig(filter="price > 1"), RuleConfig(boost="brand =", factor=2)]
    with pytest.raises(
        ConfigError, match=r"shoploom.toml, \[\[recommend.rules\]\] number 2: boost=brand =\*2 does not"
    ):
        Rules.of_config(tables)
    with pytest.raises(ConfigError, match="number 2: pin=b@1 and pin=a@1 both want position 1"):
        Rules.of_config([RuleConfig(pin="a", position=1), RuleConfig(pin="b", position=1)])
    assert texts(Rules.of_config([RuleConfig(exclude="out_of_stock"), RuleConfig(cap="brand", most=2)])) == [
        "exclude=out_of_stock",
        "cap=brand:2",
    ]


def test_pins_of_a_request_push_standing_ones_aside() -> None:
    tables = [RuleConfig(pin="a", position=1), RuleConfig(pin="b", position=2), RuleConfig(pin="c", position=3)]
    both = Rules.of_config(tables).with_request(Rules.of_texts(pin=["x@1", "b@5"]))
    assert texts(both) == ["pin=c@3", "pin=x@1", "pin=b@5"]
    assert [str(one) for one in both.set_aside] == ["pin=a@1", "pin=b@2"]


def test_a_request_cannot_boost_what_the_shop_buries() -> None:
    standing = Rules.of_config([RuleConfig(bury="price > 5", factor=2)])
    with pytest.raises(UsageError, match="move the same products down and up"):
        standing.with_request(Rules.of_texts(boost=["price > 5*3"]))


def test_two_caps_on_one_column_hold_both_if_one_is_standing() -> None:
    standing = Rules.of_config([RuleConfig(cap="brand", most=3)])
    assert texts(standing.with_request(Rules.of_texts(cap=["brand:2"]))) == ["cap=brand:3", "cap=brand:2"]


def test_filters_and_stock_restrict_every_list_and_the_rest_does_not() -> None:
    rules = Rules.of_texts(filter=["price < 5"], cap=["brand:2"], exclude=["bought", "out_of_stock"])
    assert [str(one) for one in rules.restricting] == ["filter=price < 5", "exclude=out_of_stock"]
    rest = rules.without(rules.restricting)
    assert [str(one) for one in rest.every] == ["cap=brand:2", "exclude=bought"]
    assert rules.without([]) is rules
