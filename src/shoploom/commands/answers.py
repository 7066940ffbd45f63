"""``recommend`` and ``predict``: answers of the champion for one customer, or for all in one file."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shoploom.commands.output import (
    HERE,
    JsonOption,
    Output,
    WorkspaceOption,
    cells,
    local_times,
    option_text,
    time_texts,
    titles,
)
from shoploom.commands.wishes import RequestOption, say_arranged, with_wishes
from shoploom.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from shoploom.inference.rerank import Wishes
    from shoploom.inference.state import ShopState

SHOWN = 10
MAX_COMPARED = 20_000
"""Spelling is compared with so many ids at most: 0.15 s with ids of 7 digits, 2 s with ids of 30."""


@with_wishes
def recommend(
    customer: Annotated[str, typer.Argument(help="The customer's id as the shop spells it.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many products.")] = 10,
    repeats: Annotated[
        Literal["auto", "allow", "exclude"], typer.Option(help="exclude: nothing that the customer bought before.")
    ] = "auto",
    request_id: RequestOption = None,
    log: Annotated[bool, typer.Option("--log", help="Write what is shown to the event log.")] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
    *,
    wishes: Wishes,
) -> None:
    """Products for a customer's next visit, each with a reason."""
    from shoploom.apps.recommend import recommend as answer
    from shoploom.shop import Shop

    out = Output(as_json, "recommend")
    shop = Shop.open(workspace)
    found = answer(shop.engine, customer, k=k, repeats=repeats, wishes=wishes, request_id=request_id, log=log)
    out.read(shop.registry.folder(found["model_version"]))
    likely = nearest_customer(shop.engine.current.state, customer) if found["cold_start"] else None
    if found["cold_start"]:
        hint = f" Did you mean {likely!r}?" if likely else ""
        out.say(f"note: nothing is known about customer {customer!r}; these sell best.{hint}")
    rows = []
    for rank, item in enumerate(found["items"], start=1):
        reason = next((one["text"] for one in item.get("reasons", [])), "")
        rows.append((str(rank), item["product_id"], str(item.get("title") or ""), f"{item['score']:.3g}", reason))
    out.table(("", "product", "title", "score", "because"), rows, right=(0, 3))
    say_arranged(out, found)
    out.next(f"shoploom predict next_basket --out baskets.parquet{option_text(workspace)}")
    out.done(**found, did_you_mean=likely)


def predict(
    task: Annotated[str, typer.Argument(help="For example churn or demand; a wrong name lists all.")],
    out_path: Annotated[Path | None, typer.Option("--out", "-o", help="A .parquet, .csv or .jsonl file.")] = None,
    customers: Annotated[Path | None, typer.Option(help="Only the customers in this file, an id per line.")] = None,
    products: Annotated[Path | None, typer.Option(help="Only the products in this file, an id per line.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Length of ranked lists.")] = 20,
    strict: Annotated[bool, typer.Option("--strict", help="Answer nothing if one of the ids is unknown.")] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """One task's answers for all customers or products."""
    from shoploom.apps.predictions import meaning
    from shoploom.errors import unknown_name
    from shoploom.inference.batch import split_known
    from shoploom.shop import Shop
    from shoploom.tasks import TASKS

    if task not in TASKS:
        raise UsageError(unknown_name("task", task, TASKS))
    if out_path is not None and out_path.suffix not in (".parquet", ".csv", ".jsonl"):
        raise UsageError(f"--out {out_path} ends with {out_path.suffix!r}; give it .parquet, .csv or .jsonl")
    unit = TASKS.load(task).unit
    listed, other = (customers, products) if unit == "customer" else (products, customers)
    if other is not None:
        raise UsageError(f"{task} is about {unit}s; name them with --{unit}s FILE")
    out = Output(as_json, "predict")
    shop = Shop.open(workspace)
    ids = None if listed is None else read_ids(listed)
    unknown: list[str] = []
    if ids is not None and not strict:
        known, unknown = split_known(shop.engine.current, task, ids)
        ids = known or ids  # of unknown ids alone nothing can be said: the error names them
    frame = local_times(shop.predict(task, ids, k=k), shop.config.shop.timezone)
    served = shop.engine.current
    if unknown:
        _say_unknown(unit, unknown)
    out.read(shop.registry.folder(served.version))
    if out_path is not None:
        write_table(frame, out_path)
        out.wrote(f"{out_path}: {frame.height:,} rows")
    clock, currency = served.state.shop.clock, shop.config.shop.currency
    about = meaning(TASKS.load(task)(), clock=clock, currency=currency)
    out.say(f"{task}: {about}")
    out.table(titles(frame), cells(frame.head(SHOWN)))
    if frame.height > SHOWN:
        out.say(f"... {frame.height:,} rows in all")
    out.next(f"shoploom {'serve' if out_path else f'predict {task} --out {task}.parquet'}{option_text(workspace)}")
    shown = {} if out_path else {"answers": time_texts(frame).to_dicts()}
    facts = {"meaning": about, "horizon_days": clock.horizon_days, "unknown": unknown}
    out.done(task=task, version=served.version, rows=frame.height, columns=frame.columns, **facts, **shown)


def nearest_customer(state: ShopState, customer: str) -> str | None:
    """The known customer whose id is spelled most alike; None without one that may be named."""
    names = state.shop.customers.ids
    if len(names) > MAX_COMPARED:
        names = [one for one in names if one[:2] == customer[:2] and abs(len(one) - len(customer)) <= 1]
    close = get_close_matches(customer, names[:MAX_COMPARED], n=3)
    return next((str(one) for one in close if not state.hidden.hides("customers", one)), None)


def read_ids(path: Path) -> list[str]:
    """Ids from a text file, one per line, exactly as they stand there."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the list of ids {path} cannot be read ({error}); give a text file with an id per line"
        ) from error
    ids = [line for line in lines if line.strip()]
    if not ids:
        raise DataError(f"the list of ids {path} is empty; give a text file with an id per line")
    return ids


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write the whole file or nothing: a killed command leaves no half."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        if path.suffix == ".parquet":
            frame.write_parquet(fresh)
        elif path.suffix == ".csv":
            time_texts(frame).write_csv(fresh)
        else:
            time_texts(frame).write_ndjson(fresh)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error}); check that the folder exists and has room") from error


def _say_unknown(unit: str, unknown: Sequence[str]) -> None:
    """On standard error, an id per line, so that they can be looked up."""
    one = len(unknown) == 1
    typer.echo(
        f"note: {len(unknown)} {unit} id{'' if one else 's'} {'is' if one else 'are'} unknown to this version and left "
        "out; --strict refuses instead:",
        err=True,
    )
    for name in unknown:
        typer.echo(f"  {name}", err=True)
