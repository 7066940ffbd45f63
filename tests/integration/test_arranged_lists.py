"""Rules, diversity and exploration from the outside: the service, the command line, the facade and shoploom.toml."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from shoploom import Shop
from shoploom.cli import app
from shoploom.config import Config, RecommendConfig, RuleConfig
from shoploom.data.workspace import Workspace
from shoploom.errors import ConfigError
from shoploom.inference.rerank import Wishes
from shoploom.inference.rules import Rules
from shoploom.serving.app import create_app
from tests.services import Client, client_of


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Client]:
    with client_of(create_app(workspace)) as found:
        yield found


def products(answer: dict[str, Any]) -> list[str]:
    return [one["product_id"] for one in answer["items"]]


def recommend(client: Client, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/v1/recommend", **{"customer_id": "c000", "explain": False, **params})
    return answer


def impressions(workspace: Workspace) -> pl.DataFrame:
    events, _ = workspace.event_log.read_since(0)
    return events.filter(pl.col("type") == "impression")


def test_rules_of_a_request_hold_and_are_counted(client: Client) -> None:
    plain = recommend(client, k=6)
    assert "rules" not in plain
    assert (plain["fallback"], plain["reason"]) == (False, None)
    answer = recommend(client, k=6, filter=['category != "Toys"', "price < 6"], cap="category:2", pin="p000@1")
    assert products(answer)[0] == "p000"
    kinds = Counter(one["category"][1] for one in answer["items"])
    assert "Toys" not in kinds
    assert max(kinds.values()) == 2
    assert all(one["price"] < 6 for one in answer["items"])
    assert answer["rules"]["pinned"] == 1
    assert answer["rules"]["filtered"] >= 10
    assert answer["rules"]["capped"] > 0


def test_a_boost_and_diversity_change_the_order_only_when_asked(client: Client) -> None:
    plain = recommend(client, k=20)
    assert recommend(client, k=20, cap="brand:1000")["items"] == plain["items"]
    assert recommend(client, k=20, diversity=0, explore=0)["items"] == plain["items"]
    last = products(plain)[9]
    lifted = recommend(client, k=20, boost=f'product_id == "{last}"*2')
    assert products(lifted).index(last) == 0  # twice 11/20 is more than 1
    mixed = recommend(client, k=8, diversity=0.8, method="dpp", repeats="exclude")
    assert {one["category"][1] for one in mixed["items"][:4]} == {"Bakery", "Dairy", "Garden", "Toys"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("costumer_id=c000", "costumer_id: query parameter 'costumer_id' is unknown; .*Did you mean 'customer_id'?"),
        ("kk=3&hiden=a", "kk: .*; hiden: query parameter 'hiden' is unknown.*Did you mean 'hide'?"),
        ("filter=price%20%3C", r"filter=price < does not parse at column 8: expected a value"),
        ("filter=prise%20%3C%205", "column 'prise' is unknown.*Did you mean 'price'?"),
        ("boost=price", "boost=price has another form"),
        ("pin=nosuch@1", "pin=nosuch@1 names an unknown product"),
        ("pin=p001@1&pin=p002@1", "both want position 1"),
        ("pin=p001@1&hide=p001", "category, in_stock or hide leave the product out"),
        ("cap=brand:0", "wanted a whole number from 1"),
        ("exclude=sold", "exclude.0: Input should be 'bought' or 'out_of_stock'"),
        ("exclude=bought&repeats=allow", "repeats=allow contradicts exclude=bought"),
        ("diversity=2", "diversity: Input should be less than or equal to 1"),
        ("method=random", "method: Input should be 'mmr' or 'dpp'"),
        ("explore=nan", "explore: "),
        ("half_life_days=0", "half_life_days: Input should be greater than 0"),
    ],
)
def test_wrong_wishes_are_refused_and_named(client: Client, query: str, message: str) -> None:
    refused = client.ask("GET", f"/v1/recommend?{query}")
    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["code"] == "invalid_request"
    assert pl.Series([refused.json()["error"]["message"]]).str.contains(message)[0], refused.text


def test_the_page_names_every_parameter(client: Client) -> None:
    described = client.get("/openapi.json")["paths"]["/v1/recommend"]["get"]["parameters"]
    known = {one["name"] for one in described}
    assert {"filter", "boost", "bury", "pin", "cap", "exclude", "diversity", "explore", "log", "k"} <= known
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    assert [name for name in known if f"`{name}`" not in page and f"{name}=" not in page] == []


def test_explored_lists_carry_propensities_and_repeat_for_one_request(client: Client) -> None:
    def ask(request_id: str) -> dict[str, Any]:
        headers = {"x-request-id": request_id}
        answer = client.ask("GET", "/v1/recommend?customer_id=c000&k=5&explore=0.4&pin=p001@2", headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    best = products(recommend(client, k=5, pin="p001@2"))
    shown: Counter[tuple[int, str]] = Counter()
    stated: dict[tuple[int, str], float] = {}
    for number in range(150):
        answer = ask(f"r{number}")
        assert answer["request_id"] == f"r{number}"
        for one in answer["items"]:
            key = (one["position"], one["product_id"])
            shown[key] += 1
            assert stated.setdefault(key, one["propensity"]) == one["propensity"]
    assert ask("r3")["items"] == ask("r3")["items"]
    assert stated[2, "p001"] == 1.0
    assert shown[2, "p001"] == 150
    for position in (1, 3, 4, 5):
        assert stated[position, best[position - 1]] == pytest.approx(0.6)
        assert abs(shown[position, best[position - 1]] / 150 - 0.6) < 0.2  # five standard errors


def test_impressions_are_logged_once_with_position_and_propensity(client: Client, workspace: Workspace) -> None:
    before = recommend(client, k=4)
    headers = {"x-request-id": "visit-1"}
    first = client.ask("GET", "/v1/recommend?customer_id=c000&k=4&explore=0.5&log=true", headers=headers).json()
    assert first["logged"] == 4
    again = client.ask("GET", "/v1/recommend?customer_id=c000&k=4&explore=0.5&log=true", headers=headers).json()
    assert (again["items"], again["logged"]) == (first["items"], 0)
    logged = impressions(workspace).sort("position")
    assert logged["product_id"].to_list() == products(first)
    assert logged["propensity"].to_list() == [one["propensity"] for one in first["items"]]
    assert logged["position"].to_list() == [1, 2, 3, 4]
    assert set(logged["request_id"]) == {"visit-1"}
    assert set(logged["customer_id"]) == {"c000"}
    assert json.loads(logged["context"][0]) == {"model_version": "v0001", "served_by": first["served_by"]}
    assert recommend(client, k=4)["items"] == before["items"], "what was shown is no history"
    assert recommend(client, k=4, log=True)["items"][0]["propensity"] == 1.0


def test_being_shown_products_does_not_make_a_customer_known(client: Client) -> None:
    assert recommend(client, customer_id="passer-by", log=True)["cold_start"]
    assert recommend(client, customer_id="passer-by")["cold_start"]
    assert client.ask("GET", "/v1/customers/passer-by").status_code == 404


def test_a_forgotten_customer_is_not_named_in_the_log(client: Client, workspace: Workspace) -> None:
    assert client.ask("DELETE", "/v1/customers/c000").status_code == 200
    assert recommend(client, k=3, log=True)["logged"] == 3
    assert impressions(workspace)["customer_id"].to_list() == [None] * 3


def test_another_web_site_cannot_write_impressions(client: Client, workspace: Workspace) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert client.ask("GET", "/v1/recommend?k=3&log=true", headers=headers).status_code == 403
    assert client.ask("GET", "/v1/recommend?k=3", headers=headers).status_code == 200
    assert not len(impressions(workspace))


def test_an_empty_list_and_a_stand_in_are_explained(client: Client) -> None:
    empty = recommend(client, filter="price > 1000")
    assert (empty["items"], empty["fallback"]) == ([], False)
    assert empty["reason"] == "no product may be shown: filter=price > 1000 leaves none of 40"
    client.ask("PUT", "/v1/products/rare", json={"brand": "rare", "price": 3})
    answer = recommend(client, filter='brand == "rare"')
    assert (products(answer), answer["fallback"]) == (["rare"], True)
    assert "what sold within a year or is new stands in" in answer["reason"]


def with_settings(workspace: Workspace, settings: RecommendConfig) -> Workspace:
    raw = workspace.config.to_dict() | {"recommend": Config(recommend=settings).to_dict()["recommend"]}
    workspace.write_config(Config.from_dict(raw))
    return Workspace.open(workspace.path)


def test_standing_rules_hold_in_every_list_and_survive_the_file(workspace: Workspace) -> None:
    rules = (
        RuleConfig(filter='category != "Toys"'),
        RuleConfig(pin="p000", position=1),
        RuleConfig(exclude="bought"),
        RuleConfig(boost='title contains "dairy"', factor=3),
    )
    opened = with_settings(workspace, RecommendConfig(diversity=0.1, explore=0.3, rules=rules))
    assert opened.config.recommend.rules == rules
    with client_of(create_app(opened)) as client:
        answer = client.get("/v1/recommend", customer_id="c003", k=6)
        bought = {one["product_id"] for one in client.get("/v1/customers/c003", history=1000)["history"]}
        assert "Toys" not in {one["category"][1] for one in answer["items"]}
        assert not bought & set(products(answer))
        assert ("p000" in products(answer)) == ("p000" not in bought)
        assert "propensity" in answer["items"][0]
        client.ask("DELETE", "/v1/products/p000")
        left = client.get("/v1/recommend", customer_id="c003", k=6)["rules"]["left_out"]
        assert len(left) == 1
        assert left[0].startswith("pin=p000@1: ")
        page = client.ask("GET", "/customers/c003", headers={"accept": "text/html"})
        assert page.status_code == 200
    opened.close()


def test_a_wrong_standing_rule_names_its_table(workspace: Workspace) -> None:
    opened = with_settings(workspace, RecommendConfig(rules=(RuleConfig(filter="prise < 5"),)))
    with client_of(create_app(opened)) as client:
        refused = client.ask("GET", "/v1/recommend?customer_id=c000")
        assert refused.status_code == 422
        assert "shoploom.toml, [[recommend.rules]] number 1: filter=prise < 5" in refused.json()["error"]["message"]
    with pytest.raises(ConfigError, match="Did you mean 'price'"):
        Shop(opened).recommend("c000")
    opened.close()


def test_the_facade_explores_only_when_asked(workspace: Workspace) -> None:
    opened = with_settings(workspace, RecommendConfig(explore=1.0))
    shop = Shop(opened)
    plain = shop.recommend("c000", k=5)
    assert "propensity" not in plain[0]
    tried = shop.recommend("c000", k=5, wishes=Wishes(Rules.of_texts(filter=["price > 0"]), explore=0.9))
    assert tried != plain
    assert all(0 < one["propensity"] <= 1 for one in tried)
    assert shop.recommend("c000", k=5, request_id="a") == shop.recommend("c000", k=5, request_id="a")
    opened.close()


def test_the_command_line_takes_the_same_rules(workspace: Workspace) -> None:
    def run(*args: str) -> Any:
        return CliRunner().invoke(app, ["recommend", "c000", "-k", "4", "-w", str(workspace.path), *args])

    done = run("--filter", 'category == "Toys"', "--pin", "p003@2", "--cap", "brand:3", "--exclude", "out_of_stock")
    assert done.exit_code == 0, done.output
    assert "rules: 9 candidates, 30 filtered, 1 pinned" in done.output
    found = json.loads(run("--explore", "0.5", "--request-id", "r9", "--log", "--json").stdout)
    assert (found["request_id"], found["logged"]) == ("r9", 4)
    assert all(0 < one["propensity"] <= 0.5 for one in found["items"])
    wrong = run("--filter", "price << 5")
    assert wrong.exit_code == 2
    assert "filter=price << 5 does not parse at column 8: expected a value" in wrong.output
    assert "\n    price << 5\n           ^" in wrong.output
    assert run("--diversity", "1.5").exit_code == 2
    nothing = " ".join(run("--filter", "price > 1000").output.split())
    assert "note: no product may be shown: filter=price > 1000 leaves none of 40" in nothing
