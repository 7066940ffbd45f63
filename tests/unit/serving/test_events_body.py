from __future__ import annotations

import pytest

from shoploom.apps.events import MAX_EVENTS, decode
from shoploom.errors import SchemaError


@pytest.mark.parametrize(
    "body",
    [
        b'[{"type": "view", "product_id": "a"}]',
        b' {"type": "view", "product_id": "a"} ',
        b'{ "events": [{"type": "view", "product_id": "a"}]}',
    ],
)
def test_three_forms_of_a_body_mean_the_same(body: bytes) -> None:
    assert [(one.type, one.product_id) for one in decode(body)] == [("view", "a")]


def test_ids_with_commas_quotes_emoji_and_zeros_stay_as_they_are() -> None:
    found = decode('[{"type": "view", "product_id": "007", "customer_id": "a,\\"b\\" 🙂"}]'.encode())
    assert (found[0].product_id, found[0].customer_id) == ("007", 'a,"b" 🙂')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON"),
        (b"[]", "empty"),
        (b"null", "array"),
        (b'[{"type": "view", "product_id": 7}]', "product_id"),
        (b'[{"type": "view", "product_id": "a"}, {"type": "view", "product_id": "a", "price": -1}]', "event 1.*price"),
        (b'[{"type": "view", "product_id": "a", "prise": 1}]', "prise"),
        (b"[" + b",".join([b'{"type": "search"}'] * (MAX_EVENTS + 1)) + b"]", "at most"),
    ],
)
def test_a_wrong_body_is_refused_with_what_is_wrong(body: bytes, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        decode(body)
