"""``[recommend]`` of shoploom.toml: rules as an array of tables, there and back, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shoploom.config import Config, RecommendConfig, RuleConfig
from shoploom.errors import ConfigError

TEXT = """
[recommend]
diversity = 0.25
method = "dpp"

[[recommend.rules]]
filter = 'title contains "a \\ b"'

[[recommend.rules]]
boost = 'brand == "Own"'
factor = 2

[[recommend.rules]]
pin = "4711"
position = 1
"""
RULES = (
    RuleConfig(filter='title contains "a \\ b"'),
    RuleConfig(boost='brand == "Own"', factor=2.0),
    RuleConfig(pin="4711", position=1),
)


def test_rules_are_read_and_written_again(tmp_path: Path) -> None:
    (tmp_path / "shoploom.toml").write_text(TEXT)
    config = Config.read(tmp_path / "shoploom.toml", ["recommend.explore=0.1"])
    assert config.recommend == RecommendConfig(diversity=0.25, method="dpp", explore=0.1, rules=RULES)
    (tmp_path / "again.toml").write_text(config.to_toml())
    assert Config.read(tmp_path / "again.toml") == config
    assert Config.from_dict(config.to_dict()) == config


def test_the_default_section_is_all_comments() -> None:
    section = Config().to_toml().partition("[recommend]\n")[2].partition("\n\n")[0]
    assert all(line.startswith("# ") for line in section.splitlines())
    assert "# rules = []" in section


@pytest.mark.parametrize(
    ("recommend", "message"),
    [
        ({"rules": 5}, r"recommend.rules is 5; write one or more tables \[\[recommend.rules\]\]"),
        ({"rules": [{"filter": "a"}, {"fitler": "a"}]}, r"number 2: key of \[recommend.rules\] 'fitler'.*'filter'"),
        ({"rules": [{"filter": "a", "boost": "b"}]}, "number 1: wanted exactly one of .*; found filter and boost"),
        ({"rules": [{}]}, "found none"),
        ({"rules": [{"boost": "a"}]}, "number 1: a rule with boost needs factor"),
        ({"rules": [{"pin": "a", "position": 1, "most": 2}]}, "number 1: a rule with pin has no most"),
        ({"rules": [{"pin": 4711, "position": 1}]}, "recommend.rules.pin is 4711, a int; wanted str"),
        ({"rules": [{"exclude": "bougt"}]}, "exclude 'bougt' is unknown.*Did you mean 'bought'"),
        ({"diversity": 1.5}, "recommend.diversity is 1.5; wanted a number from 0 to 1"),
        ({"explore": -0.1}, "recommend.explore is -0.1"),
        ({"method": "mrr"}, "recommend.method 'mrr' is unknown.*Did you mean 'mmr'"),
        ({"freshness": -1}, "recommend.freshness is -1.0; wanted a number from 0 to 100"),
        ({"half_life_days": 0}, "recommend.half_life_days is 0.0; wanted days above 0"),
    ],
)
def test_wrong_settings_are_named(recommend: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_dict({"recommend": recommend})
