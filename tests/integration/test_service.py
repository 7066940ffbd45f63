from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shoploom.data.workspace import Workspace
from shoploom.errors import WorkspaceError
from shoploom.inference.engine import Engine
from shoploom.registry import Registry
from shoploom.serving.app import create_app
from shoploom.serving.keys import create_key
from tests.services import Client, client_of, make_workspace, publish

PURCHASE = {"type": "purchase", "product_id": "p000", "customer_id": "newcomer", "quantity": 2, "price": 3.5}


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Client]:
    with client_of(create_app(workspace)) as found:
        yield found


def products(answer: dict[str, Any]) -> list[str]:
    return [one["product_id"] for one in answer["items"]]


def test_a_known_customer_gets_a_ranked_list_with_true_reasons(client: Client) -> None:
    answer = client.get("/v1/recommend", customer_id="c000", k=5)
    assert len(products(answer)) == 5
    assert not answer["cold_start"]
    assert answer["served_by"] == "decayed_frequency"
    history = client.get("/v1/customers/c000", history=1000)["history"]
    for item in answer["items"]:
        bought = {one["time"] for one in history if one["product_id"] == item["product_id"]}
        told = [one["times"] for one in item["reasons"] if one["code"] == "bought_before"]
        assert told == ([len(bought)] if bought else [])


def test_every_answer_names_version_and_request(client: Client) -> None:
    answer = client.ask("GET", "/v1/popular", headers={"x-request-id": "mine-1"})
    assert answer.json()["model_version"] == answer.headers["x-model-version"] == "v0001"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine-1"
    refused = client.ask("GET", "/v1/customers/nobody", headers={"x-request-id": "bad id\x00"})
    assert len(refused.json()["request_id"]) == 32


def test_a_stranger_gets_the_popular_products(client: Client) -> None:
    answer = client.get("/v1/recommend", customer_id="nobody", k=4)
    assert answer["cold_start"]
    assert products(answer) == products(client.get("/v1/popular", k=4))
    assert client.get("/v1/recommend", k=4)["items"] == answer["items"]


def test_excluded_repeats_were_never_bought(client: Client) -> None:
    answer = client.get("/v1/recommend", customer_id="c001", repeats="exclude", k=10)
    bought = {one["product_id"] for one in client.get("/v1/customers/c001", history=1000)["history"]}
    assert answer["items"]
    assert not bought & set(products(answer))


def test_filters_hold(client: Client) -> None:
    toys = client.get("/v1/recommend", customer_id="c000", category="toys", k=8)
    assert {tuple(one["category"]) for one in toys["items"]} == {("Goods", "Toys")}
    first, second = products(toys)[:2]
    rest = client.get("/v1/recommend", customer_id="c000", category="Toys", hide=f"{first},{second}", k=8)
    assert not {first, second} & set(products(rest))
    client.ask("PUT", f"/v1/products/{first}", json={"attributes": {"stock": 0}})
    assert first in products(client.get("/v1/recommend", customer_id="c000", category="Toys", k=8))
    assert first not in products(client.get("/v1/recommend", customer_id="c000", category="Toys", k=8, in_stock=True))


def test_an_event_changes_the_very_next_answer(client: Client) -> None:
    assert client.get("/v1/recommend", customer_id="newcomer")["cold_start"]
    accepted = client.ask("POST", "/v1/events", json=[PURCHASE, {**PURCHASE, "product_id": "p007"}])
    assert (accepted.json()["accepted"], accepted.json()["repeated"]) == (2, 0)
    answer = client.get("/v1/recommend", customer_id="newcomer", k=3)
    assert not answer["cold_start"]
    assert set(products(answer)) >= {"p000", "p007"}
    known = client.get("/v1/customers/newcomer")
    assert (known["orders"], known["spend"]) == (2, 14.0)


def test_events_are_idempotent_and_survive_a_restart(client: Client, workspace: Workspace) -> None:
    event = {**PURCHASE, "event_id": "once"}
    for expected in ({"accepted": 1, "repeated": 0}, {"accepted": 0, "repeated": 1}):
        answer = client.ask("POST", "/v1/events", json={"events": [event]}).json()
        assert {key: answer[key] for key in expected} == expected
    assert client.get("/v1/customers/newcomer")["orders"] == 1
    before = client.get("/v1/recommend", customer_id="newcomer", at="2026-01-01T00:00:00Z")
    again = Engine.load(Workspace.open(workspace.path))
    with client_of(create_app(again.workspace, engine=again)) as other:
        assert other.get("/v1/customers/newcomer")["orders"] == 1
        after = other.get("/v1/recommend", customer_id="newcomer", at="2026-01-01T00:00:00Z")
        assert products(after) == products(before)
    again.workspace.close()


def test_events_that_another_process_wrote_are_followed(client: Client, workspace: Workspace) -> None:
    other = Workspace.open(workspace.path)
    other.event_log.append([PURCHASE])
    other.close()
    client.ask("POST", "/v1/events", json=[{**PURCHASE, "product_id": "p003"}])
    assert client.get("/v1/customers/newcomer")["products"] == 2


def test_a_new_product_can_be_recommended_and_hidden(client: Client) -> None:
    path = "/v1/products/new%2F1 é"
    body = {"title": "Kite", "category": ["Goods", "Toys"], "price": 9.5, "attributes": {"colour": "red"}}
    assert client.ask("PUT", path, json=body).json()["title"] == "Kite"
    assert products(client.get("/v1/latest", k=1)) == ["new/1 é"]
    client.ask("POST", "/v1/events", json={**PURCHASE, "product_id": "new/1 é"})
    assert products(client.get("/v1/recommend", customer_id="newcomer", k=1)) == ["new/1 é"]
    assert client.ask("DELETE", path).json()["hidden"]
    assert "new/1 é" not in products(client.get("/v1/recommend", customer_id="newcomer", k=30))
    assert products(client.get("/v1/latest", k=1)) != ["new/1 é"]


def test_a_changed_product_is_asked_about_with_its_new_values(client: Client, workspace: Workspace) -> None:
    before = client.get("/v1/price", product_id="p004")
    change = {"category": ["Goods", "Toys"], "brand": "brand 2", "title": "blue kite", "attributes": {"stock": 0}}
    assert client.ask("PUT", "/v1/products/p004", json=change).json()["title"] == "blue kite"
    after = client.get("/v1/price", product_id="p004")
    assert after["title"] == "blue kite"
    assert after["mean"] != before["mean"]
    assert client.get("/v1/products/p004")["attributes"] == {"colour": "black", "stock": 0}
    again = Engine.load(workspace).current
    row = again.state.known_product("p004")
    assert again.predict("price", [row])[0]["mean"] == pytest.approx(after["mean"], abs=0.01)
    assert again.state.catalogue.row(row) == client.app.state.service.engine.current.state.catalogue.row(row)


def test_a_forgotten_customer_is_a_stranger_also_after_a_restart(client: Client, workspace: Workspace) -> None:
    client.ask("PUT", "/v1/customers/c000", json={"attributes": {"segment": "taste 1"}})
    assert client.get("/v1/customers/c000")["attributes"] == {"segment": "taste 1"}
    assert client.ask("DELETE", "/v1/customers/c000").json()["forgotten"]
    assert client.ask("GET", "/v1/customers/c000").status_code == 404
    assert client.get("/v1/recommend", customer_id="c000")["cold_start"]
    assert "c000" not in workspace.read("customers")["customer_id"]
    assert Engine.load(workspace).current.state.customer("c000") == -1
    learned_from = workspace.load_tables()
    assert not (learned_from.events["customer_id"] == "c000").any()
    workspace.append("customers", learned_from.customers[:1].with_columns(customer_id=pl.lit("c000")), source="again")
    assert "c000" not in workspace.load_tables().customers["customer_id"]


def test_similar_products_come_from_shared_buyers_without_a_shared_model(client: Client) -> None:
    answer = client.get("/v1/products/p004/similar", k=5)
    assert answer["basis"] == "customers who bought both"
    assert "p004" not in products(answer)
    assert [one["score"] for one in answer["items"]] == sorted((one["score"] for one in answer["items"]), reverse=True)
    shown = client.get("/v1/products/p004", similar=5)["similar"]
    assert [one["product_id"] for one in shown] == products(answer)


def test_forecast_covers_the_horizon_and_shows_the_plan(client: Client) -> None:
    answer = client.get("/v1/forecast", product_id="p003", history=8)
    assert len(answer["forecast"]) == 4
    assert len(answer["history"]) == 8
    assert answer["history"][-1]["end"] == answer["forecast"][0]["start"]
    assert all(one["p10"] <= one["mean"] <= one["p90"] for one in answer["forecast"])
    bought = client.get("/v1/products/p003")["sales"]["pieces"]
    assert sum(one["pieces"] for one in client.get("/v1/forecast", product_id="p003", history=52)["history"]) <= bought


def test_a_quote_for_known_columns_equals_the_price_of_that_product(client: Client) -> None:
    known = client.get("/v1/price", product_id="p006")
    row = client.get("/v1/products/p006")
    columns = {name: row[name] for name in ("product_id", "title", "category", "brand", "attributes")}
    quoted = client.ask("POST", "/v1/price", json=columns).json()
    assert quoted["mean"] == pytest.approx(known["mean"], abs=0.02)
    assert client.ask("POST", "/v1/price", json={"product_id": "p006"}).json()["mean"] == known["mean"]


@pytest.mark.parametrize("task", ["next_basket", "new_for_you", "churn", "spend", "profile", "price", "demand"])
def test_every_task_answers_by_its_name(client: Client, task: str) -> None:
    unit = "product" if task in ("price", "demand") else "customer"
    ids = ["p001", "p002"] if unit == "product" else ["c002", "c001"]
    answer = client.ask("POST", f"/v1/predict/{task}", json={"ids": ids}).json()
    assert [one[f"{unit}_id"] for one in answer["predictions"]] == ids
    assert client.get(f"/v1/predict/{task}", id=ids)["predictions"] == answer["predictions"]


def test_predictions_follow_new_events(client: Client) -> None:
    ask = ("POST", "/v1/predict/spend")
    before = client.ask(*ask, json={"ids": ["c003"]}).json()["predictions"][0]
    client.ask("POST", "/v1/events", json={**PURCHASE, "customer_id": "c003", "time": "2024-07-01T12:00:00Z"})
    after = client.ask(*ask, json={"ids": ["c003"]}).json()["predictions"][0]
    assert before.keys() == after.keys()
    assert client.get("/v1/customers/c003", history=1)["history"][0]["product_id"] == "p000"


def test_versions_are_swapped_while_serving(client: Client, workspace: Workspace) -> None:
    publish(workspace, promote=False, next_basket="popularity")
    listed = client.get("/v1/models")
    assert [one["version"] for one in listed["versions"]] == ["v0002", "v0001"]
    state = client.app.state.service.engine.current.state
    assert client.ask("POST", "/v1/models/v0002/promote").json()["model_version"] == "v0002"
    assert client.get("/v1/recommend", customer_id="c000")["served_by"] == "popularity"
    assert client.app.state.service.engine.current.state is state  # same data: nothing is loaded twice
    assert client.ask("POST", "/v1/models/rollback").json()["champion"] == "v0001"
    assert client.get("/v1/recommend", customer_id="c000")["served_by"] == "decayed_frequency"


def test_a_promotion_by_another_process_is_followed(client: Client, workspace: Workspace) -> None:
    publish(workspace, promote=False)
    Registry(workspace.models_dir).promote("v0002")
    assert client.app.state.service.engine.follow_champion()
    assert client.get("/ready")["model_version"] == "v0002"


def test_without_a_model_the_service_says_so_and_still_takes_events(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "shop")
    with client_of(create_app(workspace)) as client:
        assert client.get("/health")["status"] == "alive"
        assert client.ask("GET", "/ready").status_code == 503
        refused = client.ask("GET", "/v1/recommend")
        assert refused.status_code == 503
        assert "shoploom train" in refused.json()["error"]["message"]
        assert client.ask("POST", "/v1/events", json=PURCHASE).json()["accepted"] == 1
        assert "Nothing serves yet" in client.ask("GET", "/").text
        publish(workspace)
        client.app.state.service.engine.follow_champion()
        assert client.get("/v1/customers/newcomer")["orders"] == 1
    workspace.close()


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "field"),
    [
        ("GET", "/v1/recommend?k=0", {}, 422, "k"),
        ("GET", "/v1/recommend?repeats=never", {}, 422, "repeats"),
        ("GET", "/v1/recommend?at=yesterday", {}, 422, "at"),
        ("GET", "/v1/recommend?at=0001-01-01T00:00:00%2B12:00", {}, 422, "at: "),
        ("PUT", "/v1/products/p1", {"json": {"created_at": "9999-12-31T23:59:59-05:00"}}, 422, "years 1 to 9999"),
        ("POST", "/v1/events", {"json": {**PURCHASE, "time": "0001-01-01T00:00:00+12:00"}}, 422, "0001"),
        ("GET", "/v1/recommend?category=Tyos", {}, 404, "'Toys'"),
        ("GET", "/v1/customers/nobody", {}, 404, "nobody"),
        ("GET", "/v1/products/nothing/similar", {}, 404, "nothing"),
        ("PUT", "/v1/products/p1", {"json": {"price": -1}}, 422, "price"),
        ("PUT", "/v1/products/p1", {"json": {"colour": "red"}}, 422, "colour"),
        ("PUT", "/v1/customers/c1", {"content": b"{", "headers": {"content-type": "application/json"}}, 422, "JSON"),
        ("POST", "/v1/events", {"json": [{**PURCHASE, "quantity": "many"}]}, 422, "quantity"),
        ("POST", "/v1/events", {"json": {**PURCHASE, "type": "purchse"}}, 422, "'purchase'"),
        ("POST", "/v1/events", {"json": {"type": "view"}}, 422, "product_id"),
        ("POST", "/v1/events", {"content": b"\xff\xfe"}, 422, "JSON"),
        ("POST", "/v1/events", {"json": []}, 422, "empty"),
        ("POST", "/v1/events", {"content": b"x" * 8_000_001}, 413, "8,000,000"),
        ("POST", "/v1/predict/chrun", {"json": {"ids": ["c001"]}}, 404, "'churn'"),
        ("POST", "/v1/predict/category", {"json": {"ids": ["p001"]}}, 404, "too few labelled products"),
        ("POST", "/v1/predict/churn", {"json": {"ids": []}}, 422, "ids"),
        ("POST", "/v1/models/v9/promote", {}, 404, "v0001"),
        ("GET", "/v1/nothing", {}, 404, "/v1/nothing"),
        ("PATCH", "/v1/recommend", {}, 405, "Not Allowed"),
    ],
)
def test_wrong_input_is_refused_with_the_field(
    client: Client, method: str, path: str, options: dict[str, Any], status: int, field: str
) -> None:
    answer = client.ask(method, path, **options)
    assert answer.status_code == status, answer.text
    assert field in answer.json()["error"]["message"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_without_a_length_is_limited_too(client: Client) -> None:
    async def chunks() -> Any:
        for _ in range(9):
            yield b"x" * 1_000_000

    assert client.ask("POST", "/v1/events", content=chunks()).status_code == 413


def test_a_damaged_model_file_is_named(workspace: Workspace) -> None:
    folder = Registry(workspace.models_dir).folder("v0001")
    path = next((folder / "members" / "churn").rglob("*.json"))
    path.write_text("{")
    with pytest.raises(WorkspaceError, match=rf"{path.name} was changed. Restore .* train again"):
        Engine.load(workspace)


def test_failures_inside_show_no_trace(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("secret path /home/me")

    monkeypatch.setattr(client.app.state.service.engine.current.members["churn"], "predict", broken)
    answer = client.ask("POST", "/v1/predict/churn", json={"ids": ["c001"]})
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_counters_know_routes_but_no_ids(client: Client) -> None:
    client.get("/v1/customers/c000")
    client.ask("POST", "/v1/events", json=PURCHASE)
    text = client.ask("GET", "/metrics").text
    assert 'route="/v1/customers/{customer_id}"' in text
    assert 'shoploom_events_total{outcome="accepted"} 1.0' in text
    assert 'shoploom_model_loaded{version="v0001"} 1.0' in text
    assert "c000" not in text


def test_the_description_lists_every_route(client: Client) -> None:
    paths = client.get("/openapi.json")["paths"]
    assert {"/v1/recommend", "/v1/events", "/v1/forecast", "/v1/price", "/v1/predict/{task}"} <= paths.keys()
    assert all("summary" in one for methods in paths.values() for one in methods.values())


def test_without_a_key_only_this_machine_is_answered(client: Client) -> None:
    assert client.ask("GET", "/v1/models", headers={"host": "shop.example"}).status_code == 403
    crossed = client.ask("POST", "/v1/events", json=PURCHASE, headers={"sec-fetch-site": "cross-site"})
    assert crossed.status_code == 403


def test_with_a_key_everything_needs_it(client: Client, workspace: Workspace) -> None:
    key = create_key(workspace)
    assert client.ask("GET", "/v1/models").status_code == 401
    assert client.ask("GET", "/v1/models", headers={"authorization": f"Bearer {key}x"}).status_code == 401
    for header in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
        assert client.ask("GET", "/v1/models", headers={**header, "host": "shop.example"}).status_code == 200
    assert client.get("/health")["status"] == "alive"
    page = client.ask("GET", "/", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert client.ask("POST", "/login", data={"key": "wrong"}).status_code == 401
    welcome = client.ask("POST", "/login", data={"key": key})
    cookie = welcome.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert key not in cookie
    assert client.ask("GET", "/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/customers",
        "/customers?q=c00",
        "/customers/c000",
        "/products",
        "/products?q=toys",
        "/products/p003",
        "/docs",
    ],
)
def test_every_page_is_made(client: Client, path: str) -> None:
    page = client.ask("GET", path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "https://" not in page.text


def test_pages_escape_what_the_shop_writes(client: Client) -> None:
    client.ask("PUT", "/v1/products/evil", json={"title": "<script>alert(1)</script>", "category": ["</script>"]})
    client.ask("POST", "/v1/events", json={**PURCHASE, "product_id": "evil", "customer_id": "<b>bold</b>"})
    for path in ("/products/evil", "/products?q=script", "/customers/<b>bold</b>", "/customers?q=bold"):
        text = client.ask("GET", path).text
        assert "<script>alert" not in text
        assert "<b>bold</b>" not in text


def test_a_missing_page_is_a_page_for_people(client: Client) -> None:
    page = client.ask("GET", "/products/nothing", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "That is not here" in page.text
