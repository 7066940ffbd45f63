from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

import pytest

from shoploom.data import doubts, schema, segments
from shoploom.data.eventlog import Acknowledged, EventLog
from shoploom.data.live_event import EventType, LiveEvent, decode_batch
from shoploom.errors import SchemaError, WorkspaceError


def event(number: int, **fields: object) -> dict[str, object]:
    base = {"event_id": f"e{number}", "type": "purchase", "product_id": "tea", "time": "2024-05-01T10:00:00Z"}
    return {**base, **fields}


@pytest.fixture
def log(tmp_path: Path):
    opened = EventLog(tmp_path)
    yield opened
    opened.close()


def test_an_event_is_accepted_once(log):
    assert log.append([event(1), event(2)]) == Acknowledged(2, 0)
    assert log.append([event(2), event(3)]) == Acknowledged(1, 1)
    assert log.append([]) == Acknowledged(0, 0)


def test_events_come_back_in_order_with_their_values(log):
    log.append([event(1, quantity=2, price=1.5, context={"page": "home"}), event(2, type="view", customer_id="7")])
    frame, offset = log.read_since(0)
    assert frame.columns == list(schema.EVENTS)
    assert frame["amount"].to_list() == [3.0, None]
    assert frame["context"].to_list() == ['{"page":"home"}', None]
    assert frame["time"].to_list() == [datetime(2024, 5, 1, 10)] * 2
    assert log.read_since(offset)[0].height == 0


def test_offsets_go_on_after_sealing(log):
    log.append([event(1), event(2)])
    _, offset = log.read_since(0, limit=1)
    path = log.seal()
    assert path is not None
    log.append([event(3)])
    frame, last = log.read_since(offset)
    assert frame["event_id"].to_list() == ["e2", "e3"]
    assert last == log.offset
    assert log.tail()["event_id"].to_list() == ["e3"]


def test_sealing_nothing_makes_no_segment(log):
    assert log.seal() is None


def test_a_sealed_event_is_still_known(log):
    log.append([event(1)])
    log.seal()
    assert log.append([event(1), event(2)]) == Acknowledged(1, 1)


def test_a_kill_between_segment_and_deletion_doubles_nothing(log):
    log.append([event(1), event(2)])
    with log.exclusive() as connection:
        rows = connection.execute("SELECT offset, event_id, body FROM tail").fetchall()
    log.seal()
    with log.exclusive() as connection:  # as if the deletion had never been committed
        connection.executemany("INSERT INTO tail VALUES (?, ?, ?)", rows)
    assert log.read_since(0)[0]["event_id"].to_list() == ["e1", "e2"]
    assert len(log.tail()) == 0
    log.append([event(3)])
    log.seal()
    assert [segments.last_offset(path) for path in segments.live(log.folder)] == [2, 3]


def test_another_process_reads_what_was_acknowledged(log, tmp_path):
    log.append([event(1)])
    other = EventLog(tmp_path)
    assert other.append([event(1)]) == Acknowledged(0, 1)
    other.append([event(2)])
    other.close()
    assert log.read_since(0)[0]["event_id"].to_list() == ["e1", "e2"]


def test_many_threads_lose_nothing(log):
    results: list[Acknowledged] = []

    def send(worker: int) -> None:
        for batch in range(10):
            results.append(log.append([event(worker * 1000 + batch * 10 + one) for one in range(10)]))

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.accepted for one in results) == 600
    assert log.read_since(0)[0]["event_id"].n_unique() == 600


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "purchse"}, r"event 1: field 'type': event type 'purchse' is unknown; .*Did you mean 'purchase'"),
        ({"price": -1}, r"event 1: field 'price' is -1; expected `float` >= 0"),
        ({"quantity": "two"}, r"event 1: field 'quantity' is 'two'"),
        ({"product_id": None}, r"event 1: field 'product_id' is missing; a purchase needs one"),
        ({"product_id": ""}, r"event 1: field 'product_id' is ''"),
        ({"propensity": 1.5}, r"event 1: field 'propensity' is 1.5"),
        ({"time": "yesterday"}, r"event 1: field 'time' is 'yesterday'"),
        ({"time": "1970-01-01T00:00:00Z"}, r"event 1: field 'time' is 1970-01-01"),
        ({"colour": "red"}, r"event 1: .*unknown field `colour`; the fields are event_id, time"),
    ],
)
def test_a_wrong_event_is_named_and_nothing_is_written(log, fields, message):
    with pytest.raises(SchemaError, match=message):
        log.append([event(1), event(2, **fields)])
    assert log.read_since(0)[0].height == 0


@pytest.mark.parametrize("body", [b"{", b'{"type": "view"}', b"\xff\xfe\x00", b'[{"type"', b"[1]"])
def test_garbage_is_no_batch(body):
    with pytest.raises(SchemaError, match=r"JSON|expected `(object|array)`"):
        decode_batch(body)


def test_json_and_dicts_give_the_same(log):
    log.append_events(decode_batch(b'[{"event_id":"e1","type":"search","query":"tea","time":"2024-05-01T10:00:00"}]'))
    assert log.read_since(0)[0]["query"].to_list() == ["tea"]


def test_events_without_id_are_known_by_their_content(log):
    bare = event(1)
    del bare["event_id"]
    assert log.append([bare, bare]) == Acknowledged(2, 0)
    assert log.append([bare, bare]) == Acknowledged(0, 2)


def test_an_event_without_time_happens_now(log):
    bare = event(1)
    del bare["time"]
    log.append([bare])
    assert log.read_since(0)[0]["time"][0].year >= 2024


def test_times_with_a_zone_are_converted(log):
    log.append([event(1, time="2024-05-01T10:00:00+02:00")])
    assert log.read_since(0)[0]["time"].item() == datetime(2024, 5, 1, 8)


def test_a_closed_log_says_so(tmp_path):
    log = EventLog(tmp_path)
    log.close()
    with pytest.raises(WorkspaceError, match="is closed"):
        log.append([event(1)])


def test_a_damaged_log_is_named(tmp_path):
    (tmp_path / "events.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(WorkspaceError, match="is damaged"):
        EventLog(tmp_path)


def test_live_events_and_the_schema_name_the_same_fields():
    assert set(LiveEvent.__struct_fields__) == set(schema.EVENTS)
    assert set(EventType.__args__) == set(schema.EVENT_TYPES)


def test_what_the_log_accepts_is_not_in_doubt_in_the_store(log):
    log.append([event(1, quantity=0, price=0), event(2, type="search", product_id=None, query="x")])
    kept, doubtful = doubts.split("events", log.read_since(0)[0], source="t")
    assert len(kept) == 2
    assert len(doubtful) == 0
