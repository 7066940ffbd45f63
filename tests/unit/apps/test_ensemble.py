"""What a manifest says about ensembles."""

from __future__ import annotations

from typing import Any

import pytest

from shoploom.apps.ensemble import expectation, of_version, serving_rung
from shoploom.ensemble.fused import Fused
from shoploom.errors import NotFoundError
from tests.ensembles import MEMBERS_OF, panel_of


def manifest(**entry: Any) -> dict[str, Any]:
    task = {
        "served_by": "fused",
        "reason": "it is best",
        "metric": "ndcg@10",
        "panel": panel_of("next_basket").to_dict(),
    }
    return {"tasks": {"next_basket": task | entry}, "config": {"train": {"max_ms": 15.0}}}


def view(max_ms: float | None = None, **entry: Any) -> dict[str, Any]:
    return of_version(manifest(**entry), max_ms=max_ms)["next_basket"]


@pytest.mark.parametrize("max_ms", [None, 0.5, 8.0, 8.5, 9.0, 15.0, 48.0, 1000.0])
@pytest.mark.parametrize("task", list(MEMBERS_OF))
def test_the_rung_that_is_said_to_serve_is_the_one_that_serves(task: str, max_ms: float | None) -> None:
    panel = panel_of(task)
    fused = Fused({}, panel.rungs, max_ms=max_ms)
    assert tuple(serving_rung(panel.to_dict(), max_ms)["members"]) == fused.rung.members


def test_fusions_and_members_come_with_what_they_are_worth() -> None:
    found = view()
    assert found["together"]
    assert found["note"] is None
    assert found["fusions"][0]["fusion"] == found["fusion"] == "rank_average"
    values = [one["value"] for one in found["fusions"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 6
    assert [one["member"] for one in found["members"]] == list(MEMBERS_OF["next_basket"])
    first = found["members"][0]
    # The ensemble of all reaches 0.61, without this member 0.31.
    assert (first["alone"], first["share"], first["without"], first["difference"]) == (0.52, 0.55, 0.31, -0.3)


def test_the_ladder_says_what_is_kept_what_serves_and_what_is_too_slow() -> None:
    found = view(max_ms=8.5)
    marks = [(len(one["members"]), one["kept"], one["serves"], one["above"]) for one in found["rungs"]]
    assert marks == [(4, False, False, "budget"), (3, True, False, "limit"), (2, True, True, None)]
    assert [one["serves"] for one in view()["rungs"]] == [False, True, False]


@pytest.mark.parametrize(
    ("max_ms", "words"),
    [
        (None, "next_basket: 3 of 3 members answer together (decayed_frequency, tifu_knn, popularity), about 9.0 ms; "
               "expected ndcg@10 0.6000"),
        (8.5, "next_basket: 2 of 3 members answer together (decayed_frequency, tifu_knn), about 8.0 ms; "
              "expected ndcg@10 0.5800 instead of 0.6000 (−3.3 %)"),
        (2.0, "next_basket: 2 of 3 members answer together (decayed_frequency, tifu_knn), about 8.0 ms; "
              "expected ndcg@10 0.5800 instead of 0.6000 (−3.3 %); even this takes longer than 2 ms, so a member that "
              "is not reached in time is left out of an answer"),
    ],
)  # fmt: skip
def test_a_sentence_says_who_answers_and_what_that_costs(max_ms: float | None, words: str) -> None:
    assert expectation(view(max_ms)) == words


def test_who_answers_alone_says_why() -> None:
    judged = {"fused": {"ndcg@10": [0.5999, 0.58, 0.62]}}
    found = view(served_by="tifu_knn", reason="tifu_knn beats the shared model", metrics=judged)
    assert not found["together"]
    assert found["note"] == (
        "tifu_knn answers alone: tifu_knn beats the shared model; the ensemble that was tried is not surely better: "
        "ndcg@10 0.5999"
    )
    assert not any(one["kept"] or one["serves"] for one in found["rungs"])
    assert expectation(found) is None


def test_a_version_without_a_panel_says_what_an_ensemble_needs() -> None:
    found = view(served_by="shared", reason="it is the only member", panel=None)
    assert "fusions" not in found
    assert found["note"].startswith("shared answers alone: it is the only member; no ensemble was tried: that needs")


def test_other_tasks_and_those_that_are_off_are_named() -> None:
    tasks = {"churn": {"served_by": "blend", "reason": "it is best"}, "profile": {"missing": "no attributes"}}
    found = of_version({"tasks": tasks})
    assert found["churn"]["note"] == "a blend of two members answers: it is best"
    assert found["profile"]["note"] == "off for this shop: no attributes"
    assert found["churn"]["budget_ms"] is None


def test_a_task_that_the_version_does_not_have_names_the_nearest() -> None:
    assert list(of_version(manifest(), only="next_basket")) == ["next_basket"]
    with pytest.raises(NotFoundError, match=r"task 'nxt_basket' is unknown.*Did you mean 'next_basket'"):
        of_version(manifest(), only="nxt_basket")
