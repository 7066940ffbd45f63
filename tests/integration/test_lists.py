"""The lists of a shop's pages through the service: what they hold, what they never hold, and what they do in doubt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoploom.data.workspace import Workspace
from shoploom.serving.app import create_app
from tests.services import Client, client_of
from tests.shops import END

KINDS: dict[str, dict[str, Any]] = {
    "also_bought": {"product_id": "p000"},
    "basket": {"product_id": ["p000", "p001"]},
    "session": {"product_id": ["p000", "p001"]},
    "buy_again": {"customer_id": "c001"},
    "new_for_you": {"customer_id": "c001"},
    "category": {"category": "Toys"},
    "new_arrivals": {},
    "segment": {"customer_id": "c001"},
    "promoted": {},
}
FILLED = ("also_bought", "basket", "session", "new_for_you", "category", "segment")
VIEW = {"type": "view", "product_id": "p003", "session_id": "s1"}


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Client]:
    with client_of(create_app(workspace)) as found:
        yield found


def products(answer: dict[str, Any]) -> list[str]:
    return [one["product_id"] for one in answer["items"]]


def show(client: Client, kind: str, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/v1/lists/{kind}", **params)
    return answer


def refused(client: Client, kind: str, **params: Any) -> tuple[int, str]:
    answer = client.ask("GET", f"/v1/lists/{kind}", params=params)
    return answer.status_code, answer.json()["error"]["message"]


def bought(client: Client, customer: str) -> set[str]:
    history = client.get(f"/v1/customers/{customer}", history=1000)["history"]
    return {one["product_id"] for one in history if one["type"] == "purchase"}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_list_says_what_it_is_and_keeps_to_filters(client: Client, kind: str) -> None:
    answer = show(client, kind, k=4, **KINDS[kind])
    assert answer["list"] == kind
    assert answer["model_version"] == "v0001"
    assert {"served_by", "cold_start", "filled_with_popular", "as_of", "request_id"} <= answer.keys()
    assert len(set(products(answer))) == len(answer["items"]) <= 4
    scores = [one["score"] for one in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    gone = products(answer)[:1]
    less = show(client, kind, k=50, hide=",".join(gone), **({"category": "toys"} | KINDS[kind]))
    assert {one["category"][1] for one in less["items"]} <= {"Toys"}
    assert not set(gone) & set(products(less))
    silent = show(client, kind, k=3, explain=False, **KINDS[kind])
    assert all("reasons" not in one for one in silent["items"])


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_list_longer_than_the_catalogue_holds_each_product_once(client: Client, kind: str) -> None:
    answer = show(client, kind, k=500, **KINDS[kind])
    assert len(set(products(answer))) == len(answer["items"]) <= 40
    client.ask("DELETE", "/v1/products/p002")
    assert "p002" not in products(show(client, kind, k=500, **KINDS[kind]))


@pytest.mark.parametrize("kind", FILLED)
def test_a_list_of_a_page_is_not_empty(client: Client, kind: str) -> None:
    assert len(show(client, kind, k=5, **KINDS[kind])["items"]) == 5


def test_also_bought_shows_true_support(client: Client, workspace: Workspace) -> None:
    answer = show(client, "also_bought", product_id="p000", k=40)
    events = workspace.read("events")
    orders: dict[str, set[str]] = {}
    for order, product in zip(events["order_id"], events["product_id"], strict=True):
        orders.setdefault(order, set()).add(product)
    pairs = [one for one in answer["items"] if one.get("basis") == "orders"]
    assert len(pairs) > 3
    for one in pairs:
        assert one["support"] == sum({"p000", one["product_id"]} <= held for held in orders.values())
        assert one["reasons"][0]["code"] == "together"
    assert answer["orders"] == sum("p000" in held for held in orders.values())
    assert [one["lift"] for one in pairs] == sorted((one["lift"] for one in pairs), reverse=True)
    assert "p000" not in products(answer)


def test_a_product_without_sales_is_shown_with_products_like_it(client: Client) -> None:
    client.ask("PUT", "/v1/products/kite", json={"title": "Kite", "category": ["Goods", "Toys"]})
    answer = show(client, "also_bought", product_id="kite", k=4)
    assert answer["cold_start"]
    assert answer["filled_with_similar"] + answer["filled_with_popular"] == len(answer["items"]) == 4
    status, message = refused(client, "also_bought", product_id="p0001")
    assert status == 404
    assert "Did you mean 'p000'" in message or "Did you mean 'p001'" in message


def test_a_basket_is_completed_and_never_repeated(client: Client) -> None:
    basket = ["p000", "p004", "nothing"]
    answer = show(client, "basket", product_id=basket, k=40)
    assert answer["basket"] == ["p000", "p004"]
    assert answer["unknown_products"] == ["nothing"]
    assert not {"p000", "p004"} & set(products(answer))
    joined = show(client, "basket", product_id="p000,p004,nothing", k=40)
    assert joined["items"] == answer["items"]
    personal = show(client, "basket", product_id=basket, customer_id="c001", k=40)
    assert personal["served_by"] == "together and decayed_frequency"
    assert not {"p000", "p004"} & set(products(personal))
    usual = next(one for one in products(client.get("/v1/recommend", customer_id="c001", k=5)) if one not in basket)
    assert products(personal).index(usual) <= min(2, products(answer).index(usual))
    assert products(personal) != products(answer)


def test_an_empty_basket_of_a_stranger_shows_what_sells(client: Client) -> None:
    answer = show(client, "basket", k=4)
    assert answer["cold_start"]
    assert products(answer) == products(client.get("/v1/popular", k=4))
    assert show(client, "basket", customer_id="nobody", k=4)["items"] == answer["items"]


def test_buy_again_holds_own_products_that_are_due(client: Client) -> None:
    answer = show(client, "buy_again", customer_id="c001", k=40)
    assert set(products(answer)) <= bought(client, "c001")
    assert answer["items"]
    for one in answer["items"]:
        assert one["due"]
        assert one["days_since"] >= 0.75 * one["every_days"] - 0.1
        assert 0 < one["chance"] < 1
        assert one["chance"] == pytest.approx(one["score"], abs=1e-4)
        assert [reason["code"] for reason in one["reasons"]] == ["due"]
    often = next(one for one in answer["items"] if one["times"] > 2)
    assert often["reasons"][0]["text"].startswith("Usually every ")
    everything = show(client, "buy_again", customer_id="c001", k=40, due_only=False)
    assert set(products(answer)) < set(products(everything)) == bought(client, "c001")


def test_what_was_just_bought_is_not_due(client: Client) -> None:
    first = products(show(client, "buy_again", customer_id="c001", k=1))[0]
    event = {"type": "purchase", "product_id": first, "customer_id": "c001", "price": 1.0, "time": f"{END}Z"}
    assert client.ask("POST", "/v1/events", json=event).json()["accepted"] == 1
    assert first not in products(show(client, "buy_again", customer_id="c001", k=40))


def test_new_for_you_was_never_bought_not_even_a_moment_ago(client: Client) -> None:
    answer = show(client, "new_for_you", customer_id="c001", k=40)
    assert answer["items"]
    assert not bought(client, "c001") & set(products(answer))
    first = products(answer)[0]
    client.ask("POST", "/v1/events", json={"type": "purchase", "product_id": first, "customer_id": "c001"})
    assert first not in products(show(client, "new_for_you", customer_id="c001", k=40))


@pytest.mark.parametrize("kind", ["buy_again", "new_for_you"])
def test_lists_about_a_customer_refuse_strangers(client: Client, kind: str) -> None:
    assert refused(client, kind, customer_id="nobody")[0] == 404
    assert refused(client, kind)[0] == 422
    client.ask("PUT", "/v1/customers/newcomer", json={"attributes": {}})
    answer = show(client, kind, customer_id="newcomer", k=3)
    assert answer["cold_start"]
    client.ask("DELETE", "/v1/customers/c001")
    assert refused(client, kind, customer_id="c001")[0] == 404


def test_the_first_view_of_a_visitor_changes_the_next_answer(client: Client) -> None:
    before = show(client, "session", session_id="s1", k=5)
    assert before["cold_start"]
    assert not before["session_known"]
    assert products(before) == products(client.get("/v1/popular", k=5))
    client.ask("POST", "/v1/events", json=VIEW)
    after = show(client, "session", session_id="s1", k=5)
    assert (after["cold_start"], after["session_known"], after["touched"]) == (False, True, ["p003"])
    assert products(after) != products(before)
    assert after["items"][0]["reasons"][0]["with"] == "p003"
    client.ask("POST", "/v1/events", json={**VIEW, "product_id": "p010"})
    third = show(client, "session", session_id="s1", k=5)
    assert third["touched"] == ["p003", "p010"]
    assert products(third) != products(after)
    assert third["items"] == show(client, "session", product_id=["p003", "p010"], k=5)["items"]


def test_a_session_outlives_a_restart_and_is_forgotten_with_its_customer(client: Client, workspace: Workspace) -> None:
    client.ask("POST", "/v1/events", json={**VIEW, "customer_id": "c001"})
    other = Workspace.open(workspace.path)
    with client_of(create_app(other)) as again:
        assert show(again, "session", session_id="s1", k=3)["touched"] == ["p003"]
        again.ask("DELETE", "/v1/customers/c001")
        assert not show(again, "session", session_id="s1", k=3)["session_known"]
    other.close()


def test_events_of_another_process_count_in_sessions(client: Client, workspace: Workspace) -> None:
    assert not show(client, "session", session_id="s1", k=3)["session_known"]
    other = Workspace.open(workspace.path)
    other.event_log.append([VIEW, {**VIEW, "product_id": "brand new"}])
    other.close()
    assert show(client, "session", session_id="s1", k=3)["touched"] == ["p003", "brand new"]


def test_impressions_and_removals_are_not_touches(client: Client) -> None:
    events = [{**VIEW, "type": "impression"}, {**VIEW, "type": "remove_from_cart"}, {"type": "search", "query": "tea"}]
    client.ask("POST", "/v1/events", json=[{**one, "session_id": "s1"} for one in events])
    assert not show(client, "session", session_id="s1", k=3)["session_known"]


def test_live_visits_and_orders_are_learned_from(client: Client) -> None:
    for one in ("kite", "string"):
        client.ask("PUT", f"/v1/products/{one}", json={"title": one, "category": ["Goods", "Toys"]})
    show(client, "session", product_id="kite", k=1)
    show(client, "also_bought", product_id="kite", k=1)  # both tables are made before the events come
    events = []
    for number in range(4):
        for product in ("kite", "string"):
            events.append({"type": "view", "product_id": product, "session_id": f"v{number}"})
            events.append({"type": "purchase", "product_id": product, "order_id": f"x{number}", "price": 2.0})
    client.ask("POST", "/v1/events", json=events)
    assert products(show(client, "session", product_id="kite", k=1)) == ["string"]
    beside = show(client, "also_bought", product_id="kite", k=1)["items"][0]
    assert (beside["product_id"], beside["support"]) == ("string", 4)


def test_sessions_in_the_data_are_learned_from(template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "shop")
    opened = Workspace.open(tmp_path / "shop")
    views = [
        {"type": "view", "product_id": product, "session_id": f"v{number}", "time": f"2024-06-0{day}T10:00:00Z"}
        for number in range(80)
        for day, product in ((1, "p005"), (2, "p038"))
    ]
    opened.event_log.append(views)
    opened.event_log.seal()
    with client_of(create_app(opened)) as client:
        assert products(show(client, "session", product_id="p005", k=1)) == ["p038"]
    opened.close()


def test_a_category_page_shows_all_of_it_in_a_personal_order(client: Client) -> None:
    answer = show(client, "category", category="toys", customer_id="c003", k=40)
    assert answer["category"] == answer["shown_category"] == "Toys"
    assert len(answer["items"]) == 10
    stranger = show(client, "category", category="Toys", k=40)
    assert stranger["cold_start"]
    assert set(products(stranger)) == set(products(answer))
    assert products(stranger) != products(answer)


def test_a_category_without_anything_to_show_shows_the_one_above(client: Client) -> None:
    toys = products(show(client, "category", category="Toys", k=40))
    answer = show(client, "category", category="Toys", hide=",".join(toys), k=5)
    assert (answer["category"], answer["shown_category"]) == ("Toys", "Goods")
    assert len(answer["items"]) == 5
    status, message = refused(client, "category", category="Tois")
    assert status == 404
    assert "Did you mean 'Toys'" in message
    assert refused(client, "category")[0] == 422
    assert refused(client, "basket", category="Tois")[0] == 404


def test_new_arrivals_are_new_and_in_the_order_of_the_customer(client: Client) -> None:
    for name, group in (("kite", "Toys"), ("bun", "Bakery")):
        client.ask("PUT", f"/v1/products/{name}", json={"title": name, "category": ["Goods", group]})
    child = show(client, "new_arrivals", customer_id="c003", k=6)
    baker = show(client, "new_arrivals", customer_id="c000", k=6)
    assert set(products(child)) == {"kite", "bun", "p009", "p019", "p029", "p039"}
    assert not child["cold_start"]
    assert products(child).index("kite") < products(child).index("bun")
    assert products(baker).index("bun") < products(baker).index("kite")
    past = show(client, "new_arrivals", at=f"{END.isoformat()}Z", k=40)
    assert not {"kite", "bun"} & set(products(past))
    stranger = show(client, "new_arrivals", k=3)
    assert stranger["cold_start"]
    assert products(stranger) == products(client.get("/v1/latest", k=3))
    group = show(client, "new_arrivals", attribute="segment", value="taste 3", k=6)
    assert products(group).index("kite") < products(group).index("bun")


def test_segments_are_nearby_customers_or_an_attribute(client: Client) -> None:
    near = show(client, "segment", customer_id="c003", k=5)
    assert (near["basis"], near["cold_start"]) == ("purchases", False)
    one = near["items"][0]["reasons"][0]
    assert one["code"] == "segment"
    assert 0 < one["buyers"] <= one["members"] == near["members"]
    given = show(client, "segment", attribute="segment", value="taste 3", k=5)
    toys = [one["category"][1] for one in given["items"]].count("Toys")
    assert toys >= 3
    assert show(client, "segment", customer_id="nobody", k=3)["cold_start"]
    assert refused(client, "segment", attribute="segmant", value="x")[0] == 404
    assert refused(client, "segment", attribute="segment", value="taste 9")[0] == 404
    assert refused(client, "segment")[0] == 422
    assert refused(client, "segment", customer_id="c003", value="taste 3")[0] == 422


def test_promoted_is_what_the_plan_says_for_the_moment(client: Client, workspace: Workspace) -> None:
    plan = workspace.read("promotions")
    moment = END.replace(hour=10)
    running = set(plan.filter(plan["start"] <= moment, plan["end"] > moment)["product_id"])
    for customer in ({}, {"customer_id": "c001"}):
        answer = show(client, "promoted", at=f"{moment.isoformat()}Z", k=40, **customer)
        assert set(products(answer)) == running
        assert answer["promoted"] == len(running)
        assert all(one["reasons"][0]["text"].startswith("On promotion until 2024-07-08") for one in answer["items"])
    later = show(client, "promoted", at="2030-01-01T00:00:00Z", k=5)
    assert (later["items"], later["filled_with_popular"]) == ([], 0)


def test_parameters_that_a_list_does_not_know_are_refused(client: Client) -> None:
    status, message = refused(client, "also_bought", product_id="p000", customer="c001")
    assert status == 422
    assert "customer" in message


def test_warming_counts_everything_once(workspace: Workspace) -> None:
    app = create_app(workspace)
    app.state.lists.warm()
    shelf = app.state.lists._shelf()
    assert set(shelf.tables._made) == {"together", "transitions", "rhythm", "groups"}
    together = shelf.tables.together
    app.state.lists.warm()
    assert app.state.lists._shelf().tables.together is together
