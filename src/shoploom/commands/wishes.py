"""Rules and settings that ``recommend`` and ``list`` take, and what both say about them afterwards."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from shoploom.commands.output import Output

if TYPE_CHECKING:
    from shoploom.inference.rerank import Wishes

Texts = list[str] | None


def _texts(help: str, *names: str) -> Any:
    return Annotated[Texts, typer.Option(*names, help=help)]


def _number(help: str, least: float | None = None, most: float | None = None) -> Any:
    return Annotated[float | None, typer.Option(help=help, min=least, max=most)]


RULES: dict[str, Any] = {
    "filter": _texts("Only what fulfils: price < 5.", "--filter"),
    "boost": _texts('Moves up, EXPRESSION*FACTOR: brand == "A"*1.5.'),
    "bury": _texts("Moves down, EXPRESSION*FACTOR: price > 50*2."),
    "pin": _texts("Stands there, ID@POSITION: 4711@1."),
    "cap": _texts("So many of a value at most, COLUMN:MOST: brand:2."),
    "exclude": _texts("Left out: bought or out_of_stock."),
}
SETTINGS: dict[str, Any] = {
    "diversity": _number("0: the ranking; 1: nothing but differences.", 0, 1),
    "method": Annotated[Literal["mmr", "dpp"] | None, typer.Option(help="How diversity is weighed.")],
    "freshness": _number("New products move up by 1 + this.", 0, 100),
    "half_life_days": _number("Age of half the freshness."),
    "explore": _number("Probability of a place to show others, with propensities.", 0, 1),
}
RequestOption = Annotated[str | None, typer.Option(help="The same id explores alike; made up if left out.")]


def with_wishes(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for every rule and setting in place of its parameter ``wishes``.

    A rule that does not parse, or contradicts another, is refused before the command begins.
    """
    options = RULES | SETTINGS
    hints = get_type_hints(command, localns={"Wishes": Any}, include_extras=True)
    parameters = [
        one.replace(annotation=hints[name])
        for name, one in inspect.signature(command).parameters.items()
        if name != "wishes"
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters += [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in options.items()]

    @functools.wraps(command)
    def taking_options(**given: Any) -> None:
        command(**{name: one for name, one in given.items() if name not in options}, wishes=wishes_of(given))

    taking_options.__annotations__ = {one.name: one.annotation for one in parameters}
    taking_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return taking_options


def wishes_of(given: Mapping[str, Any]) -> Wishes:
    """What the options ask for.

    Args:
        given: By option of ``RULES`` and ``SETTINGS`` its value, None where it was left out.

    Raises:
        UsageError: If a rule does not parse, or two contradict each other.
    """
    from shoploom.inference.rerank import Wishes
    from shoploom.inference.rules import Rules

    rules = Rules.of_texts(**{name: given[name] for name in RULES if given[name]})
    return Wishes(rules, **{name: given[name] for name in SETTINGS})


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
