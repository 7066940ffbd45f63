"""Explanations through the service and the command line, on real members."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shoploom.cli import app
from shoploom.data.workspace import Workspace
from shoploom.serving.app import create_app
from tests.services import Client, client_of, make_workspace, publish

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explained") / "shop"
    made = make_workspace(path)
    publish(made)
    made.close()
    return path


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    opened = Workspace.open(path)
    with client_of(create_app(opened)) as found:
        yield found
    opened.close()


def test_each_product_of_the_list_is_explained_in_its_place(client: Client) -> None:
    shown = client.get("/v1/recommend", customer_id="c000", k=5)
    answer = client.get("/v1/explain", customer_id="c000", k=5)
    assert answer["model_version"] == "v0001"
    assert answer["served_by"] == "decayed_frequency"
    assert not answer["cold_start"]
    assert [one["product_id"] for one in answer["items"]] == [one["product_id"] for one in shown["items"]]
    assert [(one["position"], one["rank"]) for one in answer["items"]] == [(place, place) for place in range(1, 6)]


def test_a_habit_is_told_with_its_true_numbers(client: Client) -> None:
    history = client.get("/v1/customers/c000", history=1000)["history"]
    for item in client.get("/v1/explain", customer_id="c000", k=5)["items"]:
        assert item["code"] == "history"
        reason = item["reasons"][0]
        times = len({one["time"] for one in history if one["product_id"] == item["product_id"]})
        assert reason["checked"]
        assert (reason["kind"], reason["num_products"]) == ("product", 1)
        assert [one["product_id"] for one in reason["products"]] == [item["product_id"]]
        assert reason["products"][0]["times"] == times
        assert item["text"] == reason["text"]
        assert item["text"].startswith("Because you bought it ")
        assert reason["fall"] >= 5
        assert reason["rank_before"] == item["rank"]
        if reason["rank_after"] is not None:
            assert reason["fall"] == reason["rank_after"] - reason["rank_before"]


def test_one_product_is_explained_as_in_the_list(client: Client) -> None:
    whole = client.get("/v1/explain", customer_id="c000", k=5)["items"]
    one = client.get("/v1/explain", customer_id="c000", product_id=whole[1]["product_id"], k=5)["items"]
    assert [item["product_id"] for item in one] == [whole[1]["product_id"]]
    assert (one[0]["text"], one[0]["position"]) == (whole[1]["text"], 2)


def test_discoveries_of_a_member_that_knows_no_customers_are_called_popular(client: Client) -> None:
    answer = client.get("/v1/explain", customer_id="c001", repeats="exclude", k=4)
    assert answer["served_by"] == "recent_popularity"
    for item in answer["items"]:
        assert item["code"] == "popular"
        assert item["reasons"] == []
        place = item["rank_without_history"]
        assert item["text"] == f"Because it sells well: place {place} also for a customer without history"


def test_an_event_of_a_minute_ago_is_a_reason(client: Client) -> None:
    event = {"type": "purchase", "product_id": "p003", "customer_id": "fresh", "quantity": 1, "price": 2.0}
    assert client.ask("POST", "/v1/events", json=event).status_code == 200
    answer = client.get("/v1/explain", customer_id="fresh", product_id="p003")
    assert answer["items"][0]["text"] == "Because you bought it once (today)"


def test_unknown_ids_and_wrong_numbers_are_refused(client: Client) -> None:
    unknown = client.ask("GET", "/v1/explain", params={"customer_id": "nobody"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert "'nobody' is unknown" in unknown.json()["error"]["message"]
    product = client.ask("GET", "/v1/explain", params={"customer_id": "c000", "product_id": "p999"})
    assert (product.status_code, "'p999' is unknown" in product.text) == (404, True)
    assert client.ask("GET", "/v1/explain").status_code == 422
    assert client.ask("GET", "/v1/explain", params={"customer_id": "c000", "fall": 0}).status_code == 422


def test_a_customer_without_history_is_told_so(client: Client) -> None:
    assert client.ask("PUT", "/v1/customers/newcomer", json={"attributes": {}}).status_code == 200
    answer = client.get("/v1/explain", customer_id="newcomer", k=3)
    assert answer["cold_start"]
    assert answer["note"] == "customer 'newcomer' has no history yet, so everybody's favourites are shown"
    assert {(one["code"], one["text"]) for one in answer["items"]} == {("popular", "Because it sells well")}
    popular = [one["product_id"] for one in answer["items"]]
    other = client.get("/v1/explain", customer_id="newcomer", product_id=popular[2], k=2)["items"][0]
    assert (other["code"], other["position"]) == ("not_ranked", None)


def test_what_is_hidden_is_not_recommended(client: Client) -> None:
    first = client.get("/v1/recommend", customer_id="c002", k=1)["items"][0]["product_id"]
    found = client.get("/v1/explain", customer_id="c002", product_id=first, hide=first)["items"][0]
    assert (found["code"], found["rank"], found["position"]) == ("not_ranked", None, None)
    assert found["text"].startswith("Not recommended")


def run(*args: object) -> Any:
    return RUNNER.invoke(app, [str(one) for one in args])


def test_the_command_prints_the_reason_and_where_the_product_falls(path: Path) -> None:
    done = run("explain", "c000", "-k", 3, "-w", path)
    assert done.exit_code == 0, done.output
    found = json.loads(run("explain", "c000", "-k", 3, "-w", path, "--json").stdout)
    assert (found["command"], len(found["items"])) == ("explain", 3)
    lines = done.stdout.splitlines()
    for item in found["items"]:
        shown = next(one for one in lines if item["product_id"] in one)
        after = item["reasons"][0]["rank_after"]
        assert f"{item['text']} " in shown
        assert ("off the list" if after is None else str(after)) in shown.partition(item["text"])[2]


def test_the_command_names_the_customer_that_was_meant(path: Path) -> None:
    done = run("explain", "c00O", "-w", path)
    assert done.exit_code == 1
    assert "customer 'c00O' is unknown. Did you mean 'c0" in done.stderr
    wrong = run("explain", "c000", "p999", "-w", path)
    assert (wrong.exit_code, "product 'p999' is unknown" in wrong.stderr) == (1, True)


def test_the_list_that_rules_arrange_is_the_one_that_is_explained(client: Client) -> None:
    rules = {"customer_id": "c000", "k": 4, "cap": "category:1"}
    shown = client.get("/v1/recommend", **rules)["items"]
    found = client.get("/v1/explain", **rules)["items"]
    assert [one["product_id"] for one in found] == [one["product_id"] for one in shown]
    assert [one["position"] for one in found] == [1, 2, 3, 4]
    assert found[3]["rank"] > 4
    dear = {"customer_id": "c000", "k": 3, "filter": 'category == "Toys"'}
    assert [one["rank"] for one in client.get("/v1/explain", **dear)["items"]] == [1, 2, 3]


def test_what_was_bought_is_no_discovery(client: Client) -> None:
    bought = client.get("/v1/customers/c001", history=1)["history"][0]["product_id"]
    found = client.get("/v1/explain", customer_id="c001", product_id=bought, repeats="exclude")["items"][0]
    assert (found["code"], found["rank"], found["position"]) == ("not_ranked", None, None)


def test_a_misspelt_parameter_is_refused(client: Client) -> None:
    wrong = client.ask("GET", "/v1/explain", params={"customer_id": "c000", "fal": 3})
    assert (wrong.status_code, "Did you mean 'fall'?" in wrong.text) == (422, True)
