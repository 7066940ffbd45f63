"""``ensemble``: which members answer a ranking together, what each is worth and costs, who contributes what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoploom.commands.output import HERE, JsonOption, Output, WorkspaceOption, option_text
from shoploom.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from shoploom.inference.engine import Engine
    from shoploom.shop import Shop

View = Mapping[str, Any]
APP = typer.Typer(help="Which members answer a ranking together, and what each is worth.", no_args_is_help=True)


@APP.callback()
def _ensemble() -> None:
    """Which members answer a ranking together, and what each is worth."""


@APP.command("show")
def show(
    task: Annotated[str | None, typer.Argument(help="A task; all of them if none is named.")] = None,
    version: Annotated[str | None, typer.Option(help="A version; the one that serves if none is named.")] = None,
    customer: Annotated[str | None, typer.Option(help="Whose lists to explain: who put which product there.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Fusions, members and the ladder of every ranking; with --customer who contributes what to a list."""
    from shoploom.apps.ensemble import of_version
    from shoploom.errors import unknown_name
    from shoploom.shop import Shop
    from shoploom.tasks import TASKS

    if task is not None and task not in TASKS:
        raise UsageError(unknown_name("task", task, TASKS))
    out = Output(as_json, "ensemble show")
    shop = Shop.open(workspace)
    name = version or shop.registry.champion() or shop.newest()
    manifest, limit = shop.registry.manifest(name), shop.config.serve.max_ms or None
    views = of_version(manifest, max_ms=limit, only=task)
    out.read(shop.registry.folder(name))
    lists = {} if customer is None else _lists(shop, name, task, customer, limit)
    for one, view in views.items():
        if customer is None:
            _print(out, view)
        elif one in lists:
            _print_list(out, view, lists[one])
    tried = next((one for one, view in views.items() if view["together"]), None)
    if customer is None and tried is not None:
        out.next(f"shoploom ensemble show {tried} --customer ID{option_text(workspace)}")
    else:
        out.next(f"shoploom serve{option_text(workspace)}")
    out.done(version=name, max_ms=limit, tasks=views, **({"customer": customer, "lists": lists} if lists else {}))


def _lists(shop: Shop, version: str, task: str | None, customer: str, limit: float | None) -> dict[str, dict[str, Any]]:
    """By ranking the customer's list with contributions."""
    from shoploom.apps.ensemble import RANKING, contributions
    from shoploom.inference.engine import Engine

    engine = Engine(shop.workspace, max_ms=limit)
    engine.switch(version)
    _require(engine, customer)
    served = engine.current
    wanted = [name for name, one in served.tasks.items() if one.shape == RANKING] if task is None else [task]
    return {name: contributions(served, name, customer) for name in wanted}


def _require(engine: Engine, customer: str) -> None:
    """Refuse an unknown customer, and name the most alike id."""
    from shoploom.commands.answers import nearest_customer

    state = engine.current.state
    if state.customer(customer) < 0:
        likely = nearest_customer(state, customer)
        hint = f". Did you mean {likely!r}?" if likely else "; ids are compared exactly as the shop spells them"
        raise NotFoundError(f"customer {customer!r} is unknown{hint}")


def _print(out: Output, view: View) -> None:
    """One task: a line where one member answers, and tables where several were tried."""
    from shoploom.apps.ensemble import expectation

    if "fusion" not in view:
        out.say(f"{view['task']}: {view['note']}")
        return
    out.title(f"{view['task']}: {view['title']}")
    out.say(view["note"] or f"served by an ensemble ({view['fusion']}): {view['reason']}")
    metric = f"{view['metric']} {'↓' if view['lower_is_better'] else '↑'}"
    _print_fusions(out, view, metric)
    _print_members(out, view, metric)
    _print_ladder(out, view, metric)
    if (text := expectation(view)) is not None:
        out.say(text)
    budget = "unknown" if view["budget_ms"] is None else f"{view['budget_ms']:g} ms"
    limit = "none" if view["max_ms"] is None else f"{view['max_ms']:g} ms"
    out.say(f"budget at training: {budget} (train.max_ms); limit of the service: {limit} (serve.max_ms)")


def _print_fusions(out: Output, view: View, metric: str) -> None:
    rows = [(one["fusion"], _number(one["value"]), "won" if one["fusion"] == view["fusion"] else "")
            for one in view["fusions"]]  # fmt: skip
    out.table(("fusion", metric, ""), rows, right=(1,))


def _print_members(out: Output, view: View, metric: str) -> None:
    """Most important first; a negative difference is what the ensemble loses without the member."""
    rows = [
        (one["member"], _number(one["alone"]), f"{one['share']:.0%}", _number(one["without"]),
         _signed(one["difference"]), f"{one['ms']:.2f}")
        for one in view["members"]
    ]  # fmt: skip
    header = ("member", f"alone: {metric}", "share of the answer", "ensemble without it", "difference", "ms per answer")
    out.table(header, rows, right=(1, 2, 3, 4, 5))


def _print_ladder(out: Output, view: View, metric: str) -> None:
    rows = []
    for one in view["rungs"]:
        above = f"too slow: above the {one['above']}" if one["above"] else "" if one["kept"] else "no better"
        mark = ", ".join(part for part in ("serves" if one["serves"] else "", above) if part)
        rows.append((", ".join(one["members"]), _number(one["value"]), f"{one['ms']:.2f}", mark))
    out.table(("ladder: these members together", metric, "ms per answer", ""), rows, right=(1, 2))


def _print_list(out: Output, view: View, found: View) -> None:
    """A customer's list: with each member the rank of a product and the member's share of its score."""
    how = f"an ensemble ({view['fusion']})" if view["together"] else view["served_by"]
    out.title(f"{view['task']}: who puts what on the list of customer {found['customer_id']}, made by {how}")
    names = found["members"]
    rows = [
        (str(one["position"]), one["product_id"], str(one["title"] or ""), *(_told(one, name) for name in names))
        for one in found["items"]
    ]
    header = ("", "product", "title", *(name.replace("_", " ") for name in names))
    out.table(header, rows, right=(0, *range(3, 3 + len(names))))
    if names:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in found["shares"].items())
        out.say(
            f"rank with each member (– beyond its first {found['depth']}) and its share of the score; in all {shares}"
        )
    if found["note"]:
        out.say(f"note: {found['note']}")
    for name in found["dropped"]:
        out.say(f"note: {name} failed and is left out; the log says why")


def _told(item: View, name: str) -> str:
    rank, share = item["ranks"].get(name), item["shares"].get(name, 0.0)
    return f"{rank or '–'}  {share:4.0%}" if item["ranks"] else ""


def _number(value: float) -> str:
    return f"{value:.4f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
