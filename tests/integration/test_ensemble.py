"""A service whose lists are made by ensembles: what it tells about them, and how it is steered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shoploom import Shop
from shoploom.apps import ensemble
from shoploom.cli import app
from shoploom.data.quality import QualityReport
from shoploom.data.workspace import Workspace
from shoploom.ensemble.fused import Fused
from shoploom.errors import DataError
from shoploom.inference.engine import Engine
from shoploom.serving.app import create_app
from shoploom.serving.dashboard import ensembles
from tests.ensembles import publish_ensembles
from tests.services import Client, client_of, make_workspace, publish

TOGETHER = ["decayed_frequency", "tifu_knn", "popularity"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v0001 with ensembles serves; v0002 is the same, v0003 has members that answer alone."""
    path = tmp_path_factory.mktemp("template") / "shop"
    made = make_workspace(path)
    publish_ensembles(made)
    shutil.copytree(path / "models" / "v0001", path / "models" / "v0002")
    publish(made, promote=False)
    made.close()
    return path


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Iterator[Workspace]:
    shutil.copytree(template, tmp_path / "shop")
    opened = Workspace.open(tmp_path / "shop")
    yield opened
    opened.close()


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Client]:
    with client_of(create_app(workspace)) as found:
        yield found


def fused(engine: Engine, task: str = "next_basket") -> Fused:
    found = engine.current.members[task]
    assert isinstance(found, Fused)
    return found


def limited(workspace: Workspace, max_ms: float) -> Engine:
    engine = Engine(workspace, max_ms=max_ms)
    engine.follow_champion()
    return engine


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in args])


def run_json(*args: object) -> dict[str, Any]:
    done = run(*args, "--json")
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


# ------------------------------------------------------------------------------------------------------ steering


def test_a_limit_picks_a_cheaper_rung_and_stays_when_versions_are_swapped(workspace: Workspace) -> None:
    engine = limited(workspace, 8.5)
    assert fused(engine).rung.members == ("decayed_frequency", "tifu_knn")
    assert fused(engine, "new_for_you").max_ms == 8.5
    first = fused(engine)
    engine.promote("v0002")
    assert fused(engine) is not first
    assert fused(engine).rung.members == ("decayed_frequency", "tifu_knn")
    assert fused(engine).max_ms == 8.5


@pytest.mark.parametrize("max_ms", [None, 0.0])
def test_without_a_limit_all_members_answer(workspace: Workspace, max_ms: float | None) -> None:
    engine = Engine(workspace, max_ms=max_ms)
    engine.follow_champion()
    assert engine.max_ms is None
    assert list(fused(engine).rung.members) == TOGETHER


def test_getting_ready_counts_nobody_as_dropped(workspace: Workspace) -> None:
    engine = limited(workspace, 1e-6)
    assert all(not counts for counts in engine.dropped.values())
    engine.current.recommend("c003", k=5)
    assert engine.dropped["next_basket"] == {("tifu_knn", "slow"): 1}


def test_the_service_reads_its_limit_from_the_configuration(workspace: Workspace) -> None:
    path = workspace.path / "shoploom.toml"
    path.write_text(path.read_text().replace("# max_ms = 0.0", "max_ms = 8.5"))
    again = Workspace.open(workspace.path)
    with client_of(create_app(again)) as client:
        assert client.get("/v1/ensemble/next_basket")["max_ms"] == 8.5
    again.close()


# ---------------------------------------------------------------------------------------------------------- HTTP


def test_all_tasks_say_who_answers(client: Client) -> None:
    found = client.get("/v1/ensemble")
    assert found["model_version"] == "v0001"
    assert set(found["tasks"]) == {"next_basket", "new_for_you", "churn", "spend", "category"}
    assert [name for name, one in found["tasks"].items() if one["together"]] == ["next_basket", "new_for_you"]
    assert found["tasks"]["churn"]["note"] == "few_trips answers alone: few_trips is the only member"


def test_contributions_explain_the_list_that_the_customer_gets(client: Client) -> None:
    shown = [one["product_id"] for one in client.get("/v1/recommend", customer_id="c003", k=10)["items"]]
    told = client.get("/v1/ensemble/next_basket", customer_id="c003")["customer"]
    assert [one["product_id"] for one in told["items"]] == shown
    assert told["members"] == TOGETHER
    for item in told["items"]:
        assert sum(item["shares"].values()) == pytest.approx(1, abs=1e-3)
        assert all((rank is None) == (item["shares"][name] == 0) for name, rank in item["ranks"].items())
    mean = sum(one["shares"]["tifu_knn"] for one in told["items"]) / 10
    assert told["shares"]["tifu_knn"] == pytest.approx(mean, abs=1e-3)


def test_discoveries_are_explained_like_the_list_without_repeats(client: Client) -> None:
    asked = client.get("/v1/recommend", customer_id="c003", k=10, repeats="exclude")
    told = client.get("/v1/ensemble", customer_id="c003")["tasks"]
    assert [one["product_id"] for one in told["new_for_you"]["customer"]["items"]] == [
        one["product_id"] for one in asked["items"]
    ]
    assert "customer" in told["next_basket"]
    assert "customer" not in told["churn"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/ensemble/nxt_basket", 404, "Did you mean 'next_basket'?"),
        ("/v1/ensemble/next_basket?customer_id=nobody", 404, "customer 'nobody' is unknown"),
        ("/v1/ensemble/churn?customer_id=c003", 422, "churn is no ranking"),
        ("/v1/ensemble/category?customer_id=c003", 404, "off for this shop"),
        ("/v1/ensemble?customer=c003", 422, "Did you mean 'customer_id'?"),
    ],
)
def test_wrong_questions_are_told_apart(client: Client, path: str, status: int, words: str) -> None:
    answer = client.ask("GET", path)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_a_customer_without_history_is_told_that_nobody_was_asked(client: Client) -> None:
    client.ask("PUT", "/v1/customers/newcomer", json={})
    told = client.get("/v1/ensemble/next_basket", customer_id="newcomer")["customer"]
    assert "nothing is known about this customer" in told["note"]
    assert told["members"] == []
    assert all(one["shares"] == {} for one in told["items"])


def test_a_member_that_answers_alone_owns_its_list(client: Client) -> None:
    client.ask("POST", "/v1/models/v0003/promote")
    told = client.get("/v1/ensemble/next_basket", customer_id="c003")
    assert "no ensemble was tried" in told["note"]
    assert told["customer"]["note"] == "decayed_frequency answers alone, so the whole list is its own"
    first = told["customer"]["items"][0]
    assert (first["ranks"], first["shares"]) == ({"decayed_frequency": 1}, {"decayed_frequency": 1.0})


def test_events_of_a_moment_ago_count_in_contributions(client: Client) -> None:
    before = client.get("/v1/ensemble/next_basket", customer_id="c003")["customer"]["items"]
    place = {one["product_id"]: one["ranks"]["decayed_frequency"] for one in before}
    last = max(place, key=lambda one: place[one])
    bought = {"type": "purchase", "product_id": last, "customer_id": "c003", "quantity": 1, "price": 3.0}
    orders = [bought | {"order_id": f"order {number}"} for number in range(9)]
    assert client.ask("POST", "/v1/events", json=orders).json()["accepted"] == 9
    after = client.get("/v1/ensemble/next_basket", customer_id="c003")["customer"]["items"]
    ranks = next(one["ranks"] for one in after if one["product_id"] == last)
    assert ranks["decayed_frequency"] < place[last]


def test_counters_say_who_was_dropped_and_go_on_when_versions_are_swapped(workspace: Workspace) -> None:
    engine = limited(workspace, 1e-6)
    with client_of(create_app(workspace, engine=engine)) as client:
        client.get("/v1/recommend", customer_id="c003")

        def broken(*_: object) -> None:
            raise RuntimeError("a wire came loose")

        fused(engine).members["decayed_frequency"].predict = broken  # type: ignore[method-assign, assignment]
        client.get("/v1/recommend", customer_id="c004")
        shown = client.ask("GET", "/metrics").text
        slow = 'shoploom_ensemble_members_dropped_total{member="tifu_knn",reason="slow",task="next_basket"} 1.0'
        failed = 'dropped_total{member="decayed_frequency",reason="failed",task="next_basket"} 1.0'
        assert slow in shown
        assert failed in shown
        assert 'shoploom_ensemble_members{task="next_basket"} 2.0' in shown
        assert client.get("/v1/ensemble/next_basket")["dropped"] == [
            {"member": "decayed_frequency", "reason": "failed", "count": 1},
            {"member": "tifu_knn", "reason": "slow", "count": 1},
        ]
        client.ask("POST", "/v1/models/v0002/promote")
        client.get("/v1/recommend", customer_id="c003")
        shown = client.ask("GET", "/metrics").text
        assert slow.replace("1.0", "2.0") in shown
        assert failed in shown
        client.ask("POST", "/v1/models/v0003/promote")
        shown = client.ask("GET", "/metrics").text
        assert "shoploom_ensemble_members{" not in shown
        assert slow.replace("1.0", "2.0") in shown


def test_looking_at_contributions_hears_everybody_and_counts_nobody(workspace: Workspace) -> None:
    engine = limited(workspace, 1e-6)
    told = ensemble.contributions(engine.current, "next_basket", "c003")
    assert told["members"] == ["decayed_frequency", "tifu_knn"]
    assert all(one["ranks"]["tifu_knn"] for one in told["items"][:3])
    engine.dropped["next_basket"].clear()
    member = fused(engine).members["tifu_knn"]

    def broken(*_: object) -> None:
        raise RuntimeError("a wire came loose")

    member.predict = broken  # type: ignore[method-assign, assignment]
    told = ensemble.contributions(engine.current, "next_basket", "c003")
    assert told["dropped"] == ["tifu_knn"]
    assert ("tifu_knn", "failed") not in engine.dropped["next_basket"]


# ----------------------------------------------------------------------------------------------------- dashboard


def test_the_page_shows_members_the_ladder_and_a_customer(client: Client) -> None:
    page = client.ask("GET", "/ensemble", headers={"accept": "text/html"})
    assert page.status_code == 200
    for words in ("Who decides together?", "rank average", "tifu knn", "too slow", "serves", "few trips answers alone"):
        assert words.replace("few trips", "few_trips") in page.text
    assert page.text.count('class="stacked"') == 10
    chosen = client.ask("GET", "/ensemble", params={"task": "new_for_you", "customer_id": "c003"})
    assert 'value="new_for_you" selected' in chosen.text
    assert 'value="c003"' in chosen.text


def test_the_box_names_customers_whose_id_holds_what_was_typed(client: Client) -> None:
    part = client.ask("GET", "/parts/ensemble", params={"task": "next_basket", "customer_id": "00"}).text
    assert "No customer is called “00”" in part
    assert 'customer_id=c003#customer">c003</a>' in part
    odd = client.ask("GET", "/parts/ensemble", params={"task": "next_basket", "customer_id": "<b>'"}).text
    assert "<b>'" not in odd
    assert client.ask("GET", "/parts/ensemble", params={"task": "churn"}).status_code == 422


def test_a_page_of_members_that_answer_alone_says_so(client: Client) -> None:
    client.ask("POST", "/v1/models/v0003/promote")
    page = client.ask("GET", "/ensemble").text
    assert "no ensemble was tried" in page
    assert "the whole list is its own" in page


def test_colours_stay_with_the_members_and_bars_inside_their_tracks(workspace: Workspace) -> None:
    found = ensembles.page(limited(workspace, 8.5))
    first = found["rankings"][0]
    assert first["colours"]["tifu_knn"] == found["colours"]["tifu_knn"] == "m2"
    bars = [one["alone_at"] for one in first["members"]] + [one["at"] for one in first["fusions"]]
    assert max(bars) == 100.0
    assert min(bars) > 0
    assert first["best"]["member"] == "lightgbm_ranker"


# -------------------------------------------------------------------------------------------------- command line


def test_show_prints_fusions_members_and_the_ladder(workspace: Workspace) -> None:
    done = run("ensemble", "show", "-w", workspace.path)
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "rank_average 0.6100 won" in lines
    assert "decayed_frequency 0.5200 55% 0.3100 −0.3000 2.00" in lines
    assert "decayed_frequency, tifu_knn, popularity 0.6000 9.00 serves" in lines
    assert "decayed_frequency, tifu_knn, popularity, lightgbm_ranker 0.6100 49.00 too slow: above the budget" in lines
    assert "category: off for this shop: too few labelled products" in lines
    assert any(line.startswith("next: shoploom ensemble show next_basket --customer ID") for line in lines)


def test_show_as_json_holds_one_task_of_one_version(workspace: Workspace) -> None:
    found = run_json("ensemble", "show", "next_basket", "--version", "v0003", "-w", workspace.path)
    assert found["version"] == "v0003"
    assert list(found["tasks"]) == ["next_basket"]
    assert not found["tasks"]["next_basket"]["together"]


def test_show_explains_a_customers_list(workspace: Workspace) -> None:
    done = run("ensemble", "show", "next_basket", "--customer", "c003", "-w", workspace.path)
    assert done.exit_code == 0, done.output
    assert "who puts what on the list of customer c003, made by an ensemble (rank_average)" in done.stdout
    assert "in all decayed_frequency" in done.stdout
    found = run_json("ensemble", "show", "--customer", "c003", "--version", "v0002", "-w", workspace.path)
    assert set(found["lists"]) == {"next_basket", "new_for_you"}
    first = found["lists"]["next_basket"]["items"][0]
    assert first["product_id"] in done.stdout
    assert set(first["shares"]) == set(TOGETHER)


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["nxt_basket"], 2, "Did you mean 'next_basket'?"),
        (["--version", "v0009"], 1, "known: v0001, v0002, v0003. Did you mean"),
        (["--customer", "c0003"], 1, "customer 'c0003' is unknown. Did you mean 'c003'?"),
        (["churn", "--customer", "c003"], 2, "churn is no ranking"),
        (["price"], 1, "task 'price' is unknown; known: category, churn"),
    ],
)
def test_show_refuses_what_is_unknown(workspace: Workspace, args: list[str], status: int, words: str) -> None:
    done = run("ensemble", "show", *args, "-w", workspace.path)
    assert done.exit_code == status, done.output
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_serve_says_which_rung_answers_and_what_that_costs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    def serve(self: Shop, *, max_ms: float | None = None, started: Any = None, **_: object) -> None:
        asked.append(max_ms)
        started("http://here")

    monkeypatch.setattr(Shop, "serve", serve)
    done = run("serve", "--max-ms", "8.5", "--port", "0", "-w", workspace.path)
    assert done.exit_code == 2, "the port is checked as before"
    monkeypatch.setattr("shoploom.commands.service.check_port", lambda host, port: None)
    done = run("serve", "--max-ms", "8.5", "-w", workspace.path)
    assert "next_basket: 2 of 3 members answer together (decayed_frequency, tifu_knn), about 8.0 ms" in done.stdout
    assert "expected ndcg@10 0.5800 instead of 0.6000 (−3.3 %)" in done.stdout
    found = run_json("serve", "-w", workspace.path)
    assert found["max_ms"] is None
    assert found["ensembles"]["next_basket"]["members"] == TOGETHER
    assert asked == [8.5, 0.0]


@pytest.mark.parametrize(
    ("value", "words"), [("-1", "greater than or equal to 0"), ("inf", "serve.max_ms is inf; wanted milliseconds")]
)
def test_serve_refuses_a_limit_that_is_none(workspace: Workspace, value: str, words: str) -> None:
    done = run("serve", "--max-ms", value, "-w", workspace.path)
    assert done.exit_code == 2
    assert words in done.stderr


def test_train_takes_a_budget(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[float] = []

    def stop(checked: Workspace) -> QualityReport:
        used.append(checked.config.train.max_ms)
        raise DataError("stopped here")

    monkeypatch.setattr("shoploom.data.quality.check", stop)
    assert "stopped here" in run("train", "--max-ms", "30", "-w", workspace.path).stderr
    assert "stopped here" in run("train", "max_ms=5", "-w", workspace.path).stderr
    assert used == [30.0, 5.0]
    for wrong in ("0", "-3", "inf"):
        done = run("train", "--max-ms", wrong, "-w", workspace.path)
        assert done.exit_code == 2
        assert "wanted milliseconds above 0, such as 15" in done.stderr
