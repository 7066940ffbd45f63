"""Rules and settings that ``recommend`` and ``list`` take, and what both say about them afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shoploom.commands.output import Output

if TYPE_CHECKING:
    from shoploom.inference.rerank import Wishes

Texts = list[str] | None
FilterOption = Annotated[Texts, typer.Option("--filter", help="Only what fulfils: price < 5.")]
BoostOption = Annotated[Texts, typer.Option(help='Moves up, EXPRESSION*FACTOR: brand == "A"*1.5.')]
BuryOption = Annotated[Texts, typer.Option(help="Moves down, EXPRESSION*FACTOR: price > 50*2.")]
PinOption = Annotated[Texts, typer.Option(help="Stands there, ID@POSITION: 4711@1.")]
CapOption = Annotated[Texts, typer.Option(help="So many of a value at most, COLUMN:MOST: brand:2.")]
ExcludeOption = Annotated[Texts, typer.Option(help="Left out: bought or out_of_stock.")]
DiversityOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="0: the ranking; 1: nothing but differences.")
]
MethodOption = Annotated[Literal["mmr", "dpp"] | None, typer.Option(help="How diversity is weighed.")]
FreshnessOption = Annotated[float | None, typer.Option(min=0, max=100, help="New products move up by 1 + this.")]
HalfLifeOption = Annotated[float | None, typer.Option(help="Age of half the freshness.")]
ExploreOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Probability of a place to show others, with propensities.")
]
RequestOption = Annotated[str | None, typer.Option(help="The same id explores alike; made up if left out.")]


def wishes_of(
    *,
    filter: Texts,
    boost: Texts,
    bury: Texts,
    pin: Texts,
    cap: Texts,
    exclude: Texts,
    diversity: float | None,
    method: Literal["mmr", "dpp"] | None,
    freshness: float | None,
    half_life_days: float | None,
    explore: float | None,
) -> Wishes:
    """What the options ask for.

    Raises:
        UsageError: If a rule does not parse, or two contradict each other.
    """
    from shoploom.inference.rerank import Wishes
    from shoploom.inference.rules import Rules

    given = {"filter": filter, "boost": boost, "bury": bury, "pin": pin, "cap": cap, "exclude": exclude}
    rules = Rules.of_texts(**{name: texts for name, texts in given.items() if texts})
    return Wishes(rules, diversity, method, freshness, half_life_days, explore)


def say_arranged(out: Output, found: Mapping[str, Any]) -> None:
    """What rules and settings did, and what they could not do."""
    if found["reason"]:
        out.say(f"note: {found['reason']}")
    applied = dict(found.get("rules", {}))
    for one in applied.pop("left_out", []):
        out.say(f"note: left out: {one}")
    told = [f"{number:,} {name}" for name, number in applied.items() if number]
    if told:
        out.say(f"rules: {', '.join(told)}")
    if "request_id" in found:
        logged = f"; {found['logged']} impressions written to the event log" if "logged" in found else ""
        out.say(f"request: {found['request_id']}{logged}")
