"""New products and new customers: what is known of them counts from the very next answer on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoploom.serving.app import create_app
from tests.services import Client, client_of, make_workspace, publish

KITE = {"title": "blue toys item", "attributes": {"colour": "blue"}}
BUN = {"title": "blue bakery item", "attributes": {"colour": "blue"}}
CHILD, BAKER = "c003", "c000"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop"


def service(path: Path, **members: str) -> Iterator[Client]:
    workspace = make_workspace(path)
    publish(workspace, **members)
    with client_of(create_app(workspace)) as client:
        yield client
    workspace.close()


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    """Served by members that know nothing of a product but its sales."""
    yield from service(path)


@pytest.fixture
def reader(path: Path) -> Iterator[Client]:
    """Served by a member that reads what products say."""
    yield from service(path, next_basket="content_based", new_for_you="content_based")


def products(answer: dict[str, Any]) -> list[str]:
    return [one["product_id"] for one in answer["items"]]


def put(client: Client, **new: dict[str, Any]) -> None:
    for name, body in new.items():
        assert client.ask("PUT", f"/v1/products/{name}", json=body).status_code == 200


def test_a_new_product_is_recommended_by_its_text_and_attributes_from_the_next_request_on(reader: Client) -> None:
    assert not {"kite", "bun"} & set(products(reader.get("/v1/recommend", customer_id=CHILD, k=100)))
    put(reader, kite=KITE, bun=BUN)
    for repeats in ("auto", "exclude"):
        child = products(reader.get("/v1/recommend", customer_id=CHILD, k=100, repeats=repeats))
        baker = products(reader.get("/v1/recommend", customer_id=BAKER, k=100, repeats=repeats))
        assert child.index("kite") < child.index("bun")
        assert baker.index("bun") < baker.index("kite")
    assert "kite" in products(reader.get("/v1/lists/new_for_you", customer_id=CHILD, k=30))
    put(reader, kite={"title": "blue bakery item"})
    changed = products(reader.get("/v1/recommend", customer_id=BAKER, k=100))
    assert abs(changed.index("kite") - changed.index("bun")) == 1


def test_freshness_offers_new_products_by_content_where_the_ranking_knows_only_sales(client: Client) -> None:
    put(client, kite=KITE | {"category": ["Goods", "Toys"]}, bun=BUN | {"category": ["Goods", "Bakery"]})
    for customer, first, second in ((CHILD, "kite", "bun"), (BAKER, "bun", "kite")):
        plain = client.get("/v1/recommend", customer_id=customer, k=8)
        assert not {"kite", "bun"} & set(products(plain))
        fresh = client.get("/v1/recommend", customer_id=customer, k=8, freshness=30)
        assert products(fresh).index(first) < products(fresh).index(second)
        assert fresh["filled_with_popular"] == 0
        little = client.get("/v1/recommend", customer_id=customer, k=60, freshness=1e-6)
        own = [one for one in products(little) if one not in ("kite", "bun")]
        ranked = len(products(client.get("/v1/recommend", customer_id=customer, k=60)))
        assert own[:8] == products(plain)
        assert products(little).index(first) < products(little).index(second) <= ranked + 1
    stranger = client.get("/v1/recommend", k=8, freshness=30)
    assert {"kite", "bun"} <= set(products(stranger))
    without = client.get("/v1/recommend", customer_id=CHILD, k=60, freshness=30, filter='category != "Toys"')
    assert "bun" in products(without)
    assert "kite" not in products(without)
    client.ask("DELETE", "/v1/products/kite")
    assert "kite" not in products(client.get("/v1/recommend", customer_id=CHILD, k=60, freshness=30))


def test_new_products_are_on_the_lists_of_their_kind_at_once(client: Client) -> None:
    put(client, kite=KITE | {"category": ["Goods", "Toys"]}, bun=BUN | {"category": ["Goods", "Bakery"]})
    assert "kite" in products(client.get("/v1/lists/category", category="Toys", customer_id=CHILD, k=30))
    only = 'product_id in ("kite", "bun")'
    for customer, order in ((CHILD, ["kite", "bun"]), (BAKER, ["bun", "kite"])):
        assert products(client.get("/v1/recommend", customer_id=customer, filter=only)) == order
        assert products(client.get("/v1/lists/new_arrivals", customer_id=customer, filter=only)) == order


def test_a_new_customer_gets_personal_answers_from_the_first_events_on(client: Client) -> None:
    popular = products(client.get("/v1/popular", k=6))
    assert products(client.get("/v1/recommend", customer_id="newcomer", k=6)) == popular
    for first, other in (("p003", "p007"), ("p000", "p004")):
        customer = f"fond of {first}"
        for product in (first, other):
            event = {"type": "purchase", "product_id": product, "customer_id": customer, "price": 2.0}
            assert client.ask("POST", "/v1/events", json=event).json()["accepted"] == 1
            answer = client.get("/v1/recommend", customer_id=customer, k=6)
            assert not answer["cold_start"]
            assert product in products(answer)[:2]
        new = client.get("/v1/lists/new_for_you", customer_id=customer, k=6)
        assert not {first, other} & set(products(new))
        assert set(products(client.get("/v1/lists/buy_again", customer_id=customer, due_only=False))) == {first, other}
        near = client.get("/v1/lists/segment", customer_id=customer, k=6)
        assert not near["cold_start"]


@pytest.mark.parametrize("served_by", ["client", "reader"])
def test_the_first_view_of_a_new_customer_counts(served_by: str, request: pytest.FixtureRequest) -> None:
    service: Client = request.getfixturevalue(served_by)
    put(service, kite=KITE | {"category": ["Goods", "Toys"]}, bun=BUN | {"category": ["Goods", "Bakery"]})
    for product, first in (("p003", "kite"), ("p000", "bun")):
        viewer = f"viewer of {product}"
        event = {"type": "view", "product_id": product, "customer_id": viewer}
        assert service.get("/v1/recommend", customer_id=viewer)["cold_start"]
        service.ask("POST", "/v1/events", json=event)
        answer = service.get("/v1/recommend", customer_id=viewer, k=5)
        assert not answer["cold_start"]
        assert answer["served_by"].startswith("taste and ")
        assert product in products(answer)[:2]
        like = products(service.get(f"/v1/products/{product}/similar", k=5))
        assert len(set(like) & set(products(answer))) >= 2
        without = service.get("/v1/recommend", customer_id=viewer, k=5, filter=f'product_id != "{product}"')
        assert product not in products(without)
        near = service.get("/v1/lists/new_arrivals", customer_id=viewer, k=4)
        assert next(one for one in products(near) if one in ("kite", "bun")) == first


def test_reasons_of_a_customer_who_bought_nothing_yet_are_true(client: Client) -> None:
    client.ask("POST", "/v1/events", json={"type": "view", "product_id": "p003", "customer_id": "viewer"})
    told = {one["product_id"]: one["text"] for one in client.get("/v1/explain", customer_id="viewer", k=5)["items"]}
    assert told["p003"] in ("Because you looked at it", "Because you looked at it once")
    assert "Because it is like what you looked at" in told.values()
    view = client.get("/v1/ensemble/next_basket", customer_id="viewer")["customer"]
    assert view["note"].startswith("this customer has bought nothing yet")
    assert all(one["ranks"] == {} for one in view["items"])
    client.ask(
        "POST", "/v1/events", json={"type": "purchase", "product_id": "p003", "customer_id": "viewer", "price": 2}
    )
    after = client.get("/v1/recommend", customer_id="viewer", k=5)
    assert after["served_by"] == "decayed_frequency"
    assert products(after)[0] == "p003"
