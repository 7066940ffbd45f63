"""Rules in every list of the service, not in recommendations alone: standing ones unasked, others with a request."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from shoploom import Shop
from shoploom.cli import app as cli
from shoploom.config import Config, RecommendConfig, RuleConfig
from shoploom.data.workspace import Workspace
from shoploom.errors import ConfigError, UsageError
from shoploom.inference.found import Ask, Found, Shelf
from shoploom.inference.lists import Lists
from shoploom.inference.rerank import Wishes
from shoploom.inference.rules import Rules
from shoploom.serving.app import create_app
from shoploom.serving.server import warm_up
from tests.services import Client, client_of
from tests.shops import END

KINDS: dict[str, dict[str, Any]] = {
    "also_bought": {"product_id": "p000"},
    "basket": {"product_id": ["p000", "p001"]},
    "session": {"product_id": ["p000", "p001"]},
    "buy_again": {"customer_id": "c001", "due_only": False},
    "new_for_you": {"customer_id": "c001"},
    "category": {"category": "Goods", "customer_id": "c001"},
    "new_arrivals": {},
    "segment": {"customer_id": "c001"},
    "promoted": {"at": f"{(END + timedelta(days=10, hours=10)).isoformat()}Z"},
}
FILLED = ("also_bought", "basket", "session", "new_for_you", "category", "segment")
"""Lists in which others stand in where there is too little."""
NO_TOYS = RuleConfig(filter='category != "Toys"')
Opened = Callable[..., AbstractContextManager[Client]]


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def opened(path: Path) -> Opened:
    """The service with standing rules, and other settings of ``[recommend]`` by name."""

    @contextmanager
    def service(*rules: RuleConfig, **settings: Any) -> Iterator[Client]:
        workspace = configured(path, *rules, **settings)
        with client_of(create_app(workspace)) as client:
            yield client
        workspace.close()

    return service


@pytest.fixture
def client(opened: Opened) -> Iterator[Client]:
    with opened() as found:
        yield found


def configured(path: Path, *rules: RuleConfig, **settings: Any) -> Workspace:
    workspace = Workspace.open(path)
    section = Config(recommend=RecommendConfig(rules=rules, **settings)).to_dict()["recommend"]
    workspace.write_config(Config.from_dict(workspace.config.to_dict() | {"recommend": section}))
    workspace.close()
    return Workspace.open(path)


def products(answer: dict[str, Any]) -> list[str]:
    return [one["product_id"] for one in answer["items"]]


def kinds(answer: dict[str, Any]) -> Counter[str]:
    return Counter(one["category"][1] for one in answer["items"])


def show(client: Client, kind: str, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/v1/lists/{kind}", **KINDS[kind], **params)
    return answer


def refused(client: Client, kind: str, **params: Any) -> str:
    answer = client.ask("GET", f"/v1/lists/{kind}", params={**KINDS[kind], **params})
    assert answer.status_code == 422, answer.text
    return str(answer.json()["error"]["message"])


def bought(client: Client, customer: str) -> set[str]:
    history = client.get(f"/v1/customers/{customer}", history=1000)["history"]
    return {one["product_id"] for one in history if one["type"] == "purchase"}


def out_of_stock(client: Client, product: str) -> None:
    client.ask("PUT", f"/v1/products/{product}", json={"attributes": {"stock": 0}})


# ------------------------------------------------------------------------------------------------------ standing


def test_standing_filters_and_exclusions_hold_in_every_list(opened: Opened) -> None:
    with opened() as client:
        toys = {kind: kinds(show(client, kind, k=40))["Toys"] for kind in KINDS}
        assert min(toys.values()) > 0, "or it proves nothing"
    with opened(NO_TOYS, RuleConfig(exclude="out_of_stock")) as client:
        out_of_stock(client, "p004")
        for kind in KINDS:
            answer = show(client, kind, k=40)
            assert not kinds(answer)["Toys"], kind
            assert "p004" not in products(answer), kind
            assert answer["items"], kind
            assert answer["rules"]["filtered"] == 11, kind
        others = ("/v1/popular", "/v1/latest", "/v1/products/p008/similar", "/v1/recommend?customer_id=c003")
        for path in others:
            answer = client.ask("GET", path, params={"k": 40}).json()
            assert answer["items"]
            assert not kinds(answer)["Toys"], path
            assert "p004" not in products(answer), path
        page = client.get("/v1/products/p003", similar=40)
        assert page["similar"]
        assert "Toys" not in {one["category"][1] for one in page["similar"]}
        ranked = client.ask("POST", "/v1/predict/next_basket", json={"ids": ["c003"]}).json()
        assert "p003" not in json.dumps(ranked)


def test_a_list_that_knows_nothing_of_rules_keeps_to_them(path: Path) -> None:
    workspace = configured(
        path, NO_TOYS, RuleConfig(cap="brand", most=4), RuleConfig(bury='brand == "brand 0"', factor=9)
    )
    shop = Shop(workspace)

    def find(shelf: Shelf, ask: Ask) -> Found:
        del ask
        return Found(range(40), np.arange(40.0)[::-1].tolist(), "somebody new", shelf.state.now())

    listed = Lists(shop.engine).show(find, Ask(k=12))
    assert {row % 4 for row in listed.items} == {0, 1, 2}
    assert max(np.bincount([row % 3 for row in listed.items])) == 4
    assert [row % 3 for row in listed.items[:8]].count(0) == 0
    assert listed.applied is not None
    assert listed.applied.buried == 10
    workspace.close()


def test_standing_caps_boosts_and_burials_hold_in_every_list(opened: Opened) -> None:
    rules = (RuleConfig(cap="category", most=2), RuleConfig(boost='brand == "brand 2"', factor=1.5))
    with opened(*rules) as client:
        for kind in KINDS:
            answer = show(client, kind, k=8)
            assert answer["items"], kind
            assert max(kinds(answer).values()) <= 2, kind
            assert answer["rules"]["boosted"] > 0, kind


def test_a_standing_cap_does_not_empty_the_page_of_what_it_counts(opened: Opened) -> None:
    with opened(RuleConfig(cap="category", most=2)) as client:
        toys = client.get("/v1/lists/category", category="Toys", k=40)
        assert len(toys["items"]) == 10
        assert toys["rules"]["left_out"] == ["cap=category:2: all that this list may show has the same category"]
        assert len(client.get("/v1/lists/category", category="Toys", k=40, cap="category:3")["items"]) == 3
        assert len(client.get("/v1/recommend", customer_id="c003", category="Toys", k=40)["items"]) == 10


def test_a_standing_pin_moves_what_is_on_the_list_and_brings_nothing_else(opened: Opened) -> None:
    with opened(RuleConfig(pin="p019", position=1)) as client:
        assert products(client.get("/v1/lists/category", category="Toys", k=5))[0] == "p019"
        other = client.get("/v1/lists/category", category="Bakery", k=5)
        assert "p019" not in products(other)
        assert other["rules"]["left_out"] == ["pin=p019@1: category, in_stock or hide leave the product out"]
        due = show(client, "buy_again", k=40)
        assert ("p019" in products(due)) == ("p019" in bought(client, "c001"))
        about = client.get("/v1/lists/also_bought", product_id="p019", k=5)
        assert "p019" not in products(about)
        assert about["rules"]["left_out"] == ["pin=p019@1: this list never shows the product"]
        for kind in KINDS:
            answer = show(client, kind, k=5)
            if answer["rules"]["left_out"]:
                assert answer["rules"]["left_out"][0].startswith("pin=p019@1: "), kind
            else:
                assert products(answer)[0] == "p019", kind


def test_what_was_bought_is_excluded_but_from_the_list_of_what_was_bought(opened: Opened) -> None:
    with opened(RuleConfig(exclude="bought")) as client:
        mine = bought(client, "c001")
        for kind, own in (("basket", {"customer_id": "c001"}), ("category", {}), ("segment", {}), ("new_for_you", {})):
            answer = client.get(f"/v1/lists/{kind}", **{**KINDS[kind], **own}, k=40)
            assert answer["items"], kind
            assert not mine & set(products(answer)), kind
        promoted = show(client, "promoted", customer_id="c001", k=40)
        assert not mine & set(products(promoted))
        again = show(client, "buy_again", k=40)
        assert set(products(again)) == mine
        reason = "exclude=bought: this list holds nothing but what the customer bought"
        assert again["rules"]["left_out"] == [reason]
        message = refused(client, "buy_again", exclude="bought")
        assert "exclude=bought cannot be kept: this list holds nothing but what the customer bought" in message


def test_standing_settings_for_recommendations_leave_the_other_lists_their_order(opened: Opened) -> None:
    with opened() as client:
        plain = {kind: show(client, kind, k=8) for kind in KINDS}
        assert all("rules" not in one for one in plain.values())
    with opened(diversity=0.9, freshness=5.0, explore=0.9) as client:
        for kind in KINDS:
            assert show(client, kind, k=8)["items"] == plain[kind]["items"], kind


def test_a_wrong_standing_rule_is_named_by_every_list_and_stops_no_event(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = configured(path, RuleConfig(filter="prise < 5"))
    app = create_app(workspace)
    with client_of(app) as client:
        warm_up(app.state.service.engine)
        assert "number 1: filter=prise < 5 does not fit the catalogue" in caplog.text
        for kind in KINDS:
            assert "shoploom.toml, [[recommend.rules]] number 1: filter=prise < 5" in refused(client, kind)
        for path_ in ("/v1/popular", "/v1/latest", "/v1/products/p000/similar"):
            answer = client.ask("GET", path_)
            assert answer.status_code == 422
            assert "Did you mean 'price'" in answer.text
        event = {"type": "view", "product_id": "p000", "customer_id": "c001"}
        assert client.ask("POST", "/v1/events", json=event).json()["accepted"] == 1
        assert client.ask("POST", "/v1/predict/churn", json={"ids": ["c001"]}).status_code == 200
    with pytest.raises(ConfigError, match="Did you mean 'price'"):
        Shop(workspace).listed("also_bought", "p000")
    workspace.close()


# ------------------------------------------------------------------------------------------------ with a request


@pytest.mark.parametrize("kind", list(KINDS))
def test_rules_of_a_request_hold_in_every_list_and_are_counted(client: Client, kind: str) -> None:
    plain = show(client, kind, k=40)
    out_of_stock(client, "p000")
    wanted = ['category != "Toys"', 'brand != "brand 1"']
    answer = show(client, kind, k=40, filter=wanted, cap="category:2", exclude="out_of_stock")
    assert answer["items"]
    assert not kinds(answer)["Toys"]
    assert max(kinds(answer).values()) <= 2
    assert {one["brand"] for one in answer["items"]} <= {"brand 0", "brand 2"}
    assert "p000" not in products(answer)
    assert answer["rules"]["filtered"] == 21  # ten toys, ten more of the brand, and what is sold out
    last = products(plain)[-1]
    lifted = show(client, kind, k=40, boost=f'product_id == "{last}"*1000')
    if not plain["filled_with_popular"]:
        assert products(lifted)[0] == last
    assert set(products(lifted)) == set(products(plain))
    assert lifted["rules"]["boosted"] == 1


@pytest.mark.parametrize("kind", FILLED)
def test_a_pin_of_a_request_stands_where_it_should(client: Client, kind: str) -> None:
    pinned = next(f"p{row:03d}" for row in range(39, 2, -1) if f"p{row:03d}" not in bought(client, "c001"))
    answer = show(client, kind, k=5, pin=f"{pinned}@2")
    assert products(answer)[1] == pinned
    assert answer["rules"]["pinned"] == 1
    assert len(set(products(answer))) == 5


def test_a_list_that_says_something_of_each_product_takes_no_foreign_pin(client: Client) -> None:
    for kind in ("buy_again", "new_arrivals", "promoted"):
        own = products(show(client, kind, k=40))
        foreign = next((f"p{row:03d}" for row in range(40) if f"p{row:03d}" not in own), None)
        assert products(show(client, kind, k=3, pin=f"{own[-1]}@1"))[0] == own[-1]
        if foreign is not None:
            message = refused(client, kind, pin=f"{foreign}@1")
            assert "cannot be kept: the product has nothing to do with this list" in message


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("also_bought", {"pin": "p000@1"}, "pin=p000@1 cannot be kept: this list never shows the product"),
        ("basket", {"pin": "p001@1"}, "this list never shows the product"),
        ("session", {"pin": "p003@1", "filter": 'category != "Toys"'}, 'filter=category != "Toys" leaves the product'),
        ("category", {"pin": "p003@1", "category": "Bakery"}, "category, in_stock or hide leave the product out"),
        ("segment", {"pin": "nosuch@1"}, "pin=nosuch@1 names an unknown product"),
        ("segment", {"pin": ["p001@1", "p002@1"]}, "both want position 1"),
        ("new_for_you", {"boost": "price < 5*2", "bury": "price < 5*2"}, "move the same products down and up"),
        ("promoted", {"filter": ["in_stock", "not in_stock"]}, "leave no product"),
        ("buy_again", {"filter": "price < "}, "filter=price <  does not parse at column 9: expected a value"),
        ("new_arrivals", {"filter": "prise < 5"}, "column 'prise' is unknown"),
        ("basket", {"cap": "price:2"}, "price is no text"),
        ("session", {"diversity": 2}, "diversity: Input should be less than or equal to 1"),
        ("session", {"divercity": 1}, "Did you mean 'diversity'"),
        ("category", {"repeats": "exclude"}, "query parameter 'repeats' is unknown"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused_and_named(
    client: Client, kind: str, params: dict[str, Any], message: str
) -> None:
    assert message in refused(client, kind, **params)


@pytest.mark.parametrize("kind", list(KINDS))
def test_where_all_candidates_are_filtered_others_stand_in_and_it_is_said(client: Client, kind: str) -> None:
    client.ask("PUT", "/v1/products/rare", json={"title": "Rare", "category": ["Goods", "Odds"], "brand": "rare"})
    asked = {"at": f"{END.isoformat()}Z"} | KINDS[kind]  # before the new product came
    answer = client.get(f"/v1/lists/{kind}", **asked, k=5, filter='brand == "rare"')
    if kind in FILLED:
        assert products(answer) == ["rare"]
        assert (answer["fallback"], answer["cold_start"]) == (True, False)
        assert "what sells or is new stands in" in answer["reason"]
    else:
        assert (answer["items"], answer["fallback"]) == ([], False)
        assert answer["reason"] == "nothing was found for this list that may be shown"
    nothing = show(client, kind, k=5, filter="price > 1000")
    assert (nothing["items"], nothing["fallback"]) == ([], False)
    assert nothing["reason"] == "no product may be shown: filter=price > 1000 leaves none of 41"


def test_a_category_that_a_rule_empties_shows_the_one_above_and_says_so(opened: Opened) -> None:
    with opened(NO_TOYS) as client:
        answer = client.get("/v1/lists/category", category="Toys", k=5)
        assert (answer["category"], answer["shown_category"]) == ("Toys", "Goods")
        assert answer["fallback"]
        assert answer["reason"] == "'Toys' has nothing to show; this is Goods"
        assert not kinds(answer)["Toys"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_list_by_rules_longer_than_the_catalogue_holds_each_product_once(client: Client, kind: str) -> None:
    answer = show(client, kind, k=500, cap="category:9", diversity=0.3, bury="price < 3*2")
    assert len(set(products(answer))) == len(answer["items"]) <= 36
    assert max(kinds(answer).values()) <= 9


def test_older_products_come_up_where_a_cap_leaves_new_ones_out(client: Client) -> None:
    plain = products(client.get("/v1/lists/new_arrivals", k=4))
    answer = client.get("/v1/lists/new_arrivals", k=4, cap="category:1", customer_id="c003")
    assert len(answer["items"]) == 4
    assert set(kinds(answer).values()) == {1}
    assert len(kinds(client.get("/v1/lists/new_arrivals", k=4))) < 4, "or it proves nothing"
    assert client.get("/v1/lists/new_arrivals", k=4, cap="category:9")["items"][0]["product_id"] == plain[0]


def test_diversity_and_exploration_are_to_be_had_where_they_are_asked_for(client: Client) -> None:
    plain = client.get("/v1/lists/segment", customer_id="c003", k=6)
    mixed = client.get("/v1/lists/segment", customer_id="c003", k=6, diversity=0.8, method="dpp")
    assert len(kinds(mixed)) > len(kinds(plain))
    shown = set()
    for number in range(30):
        ask = {"headers": {"x-request-id": f"r{number}"}, "params": {"customer_id": "c003", "k": 4, "explore": 0.5}}
        answer = client.ask("GET", "/v1/lists/segment", **ask).json()
        assert answer["request_id"] == f"r{number}"
        assert [one["position"] for one in answer["items"]] == [1, 2, 3, 4]
        assert all(0 < one["propensity"] < 1 for one in answer["items"])
        assert answer["items"] == client.ask("GET", "/v1/lists/segment", **ask).json()["items"]
        shown |= set(products(answer))
    assert len(shown) > 8


# ------------------------------------------------------------------------------------------- whoever it is about


def test_unknown_forgotten_and_new_customers_get_lists_by_the_rules(opened: Opened) -> None:
    with opened(NO_TOYS, RuleConfig(exclude="bought")) as client:
        client.ask("DELETE", "/v1/customers/c003")
        client.ask("PUT", "/v1/customers/newcomer", json={"attributes": {}})
        for kind in ("basket", "category", "new_arrivals", "promoted"):
            asked = {name: value for name, value in KINDS[kind].items() if name != "customer_id"}
            stranger = client.get(f"/v1/lists/{kind}", **asked, k=6)
            assert stranger["items"], kind
            assert not kinds(stranger)["Toys"], kind
            for one in ("nobody", "c003", "newcomer"):
                answer = client.get(f"/v1/lists/{kind}", **asked, customer_id=one, k=6)
                assert answer["items"] == stranger["items"], (kind, one)
                assert answer["cold_start"] == stranger["cold_start"], (kind, one)
        assert client.get("/v1/lists/segment", customer_id="c003", k=3)["cold_start"]
        for one in ("nobody", "c003"):
            for kind in ("buy_again", "new_for_you"):
                assert client.ask("GET", f"/v1/lists/{kind}", params={"customer_id": one}).status_code == 404
            recommended = client.get("/v1/recommend", customer_id=one, k=6)
            assert recommended["cold_start"]
            assert not kinds(recommended)["Toys"]


def test_a_member_that_fails_takes_no_list_down_and_is_counted(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("secret path /home/me")

    popular = products(client.get("/v1/popular", k=4))
    for member in client.app.state.service.engine.current.members.values():
        monkeypatch.setattr(member, "predict", broken)
    answer = client.get("/v1/recommend", customer_id="c003", k=4)
    assert products(answer) == popular
    assert (answer["served_by"], answer["fallback"], answer["cold_start"]) == ("popular", True, False)
    assert answer["reason"].startswith("decayed_frequency, which ranks, failed")
    assert "secret" not in json.dumps(answer)
    assert "secret path" in caplog.text
    toys = client.get("/v1/recommend", customer_id="c003", k=40, filter='category == "Toys"', exclude="bought")
    assert toys["fallback"]
    assert set(kinds(toys)) == {"Toys"}
    assert not set(products(toys)) & bought(client, "c003")
    for kind in KINDS:
        assert show(client, kind, k=3)["items"], kind
    assert show(client, "new_for_you", k=3)["fallback"]
    shown = client.ask("GET", "/metrics").text
    counted = 'dropped_total{member="decayed_frequency",reason="failed",task="next_basket"}'
    assert counted in shown
    assert 'dropped_total{member="recent_popularity",reason="failed",task="new_for_you"}' in shown


# ------------------------------------------------------------------------------------ facade and command line


def test_the_facade_shows_lists_by_the_same_rules(path: Path) -> None:
    workspace = configured(path, NO_TOYS)
    shop = Shop(workspace)
    wishes = Wishes(Rules.of_texts(cap=["category:1"], pin=["p004@1"]))
    found = shop.listed("also_bought", "p000", k=5, wishes=wishes)
    assert [one["category"][1] for one in found].count("Toys") == 0
    assert found[0]["product_id"] == "p004"
    assert len(found) == 3
    page = shop.listed("category", "Goods", k=40, customer_id="c003")
    assert len(page) == 30
    with pytest.raises(UsageError, match=r"Did you mean 'also_bought'\?"):
        shop.listed("also_bough", "p000")
    with pytest.raises(UsageError, match="name one customer"):
        shop.listed("buy_again")
    with pytest.raises(UsageError, match="pin=p003@1 cannot be kept"):
        shop.listed("also_bought", "p000", wishes=Wishes(Rules.of_texts(pin=["p003@1"])))
    workspace.close()


def test_the_command_line_shows_lists_by_the_same_rules(path: Path) -> None:
    configured(path, NO_TOYS, RuleConfig(pin="p000", position=1)).close()

    def run(*args: str) -> Any:
        return CliRunner().invoke(cli, ["list", *args, "-w", str(path)])

    done = run("also_bought", "p004", "-k", "4", "--cap", "brand:2", "--boost", 'brand == "brand 1"*1.5')
    assert done.exit_code == 0, done.output
    assert "10 filtered" in done.output
    answer = json.loads(run("also_bought", "p000", "-k", "4", "--json").stdout)
    assert answer["rules"]["left_out"] == ["pin=p000@1: this list never shows the product"]
    assert "note: left out: pin=p000@1: this list never shows the product" in run("also_bought", "p000").output
    wrong = run("category", "Goods", "--filter", "price << 5")
    assert wrong.exit_code == 2
    assert "filter=price << 5 does not parse at column 8: expected a value" in wrong.output
    assert run("buy_again", "c001", "--exclude", "bought").exit_code == 2
    explored = json.loads(run("segment", "c001", "--explore", "0.5", "--request-id", "r1", "--json").stdout)
    assert explored["request_id"] == "r1"
    assert (
        explored["items"]
        == json.loads(run("segment", "c001", "--explore", "0.5", "--request-id", "r1", "--json").stdout)["items"]
    )
    stands_in = run("also_bought", "p000", "--filter", 'product_id == "p036" and price > 1000')
    assert "no product may be shown" in stands_in.output
