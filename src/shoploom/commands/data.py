"""``init``, ``import`` and ``check``: from files to a workspace with data that can be trusted."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoploom.commands.output import (
    HERE,
    JsonOption,
    Output,
    WorkspaceOption,
    cells,
    local_times,
    option_text,
    tables_text,
    titles,
)
from shoploom.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from shoploom.data.quality import QualityReport
    from shoploom.data.sources.base import ImportPlan
    from shoploom.data.sources.importing import ImportResult
    from shoploom.shop import Shop


def init(
    path: Annotated[Path, typer.Argument(help="A new or empty directory.")] = HERE,
    name: Annotated[str, typer.Option(help="The shop's name; that of the directory if not given.")] = "",
    currency: Annotated[str, typer.Option(help="ISO 4217 code of all amounts.")] = "USD",
    timezone: Annotated[str, typer.Option(help="IANA name, for example Europe/London.")] = "UTC",
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: one directory for everything of a shop."""
    from shoploom.shop import Shop

    out = Output(as_json, "init")
    shop = Shop.create(path, name=name, currency=currency, timezone=timezone)
    out.wrote(shop.workspace.path / "shoploom.toml")
    out.next(f"shoploom import orders.csv{option_text(path)}")
    out.done(workspace=str(path))


def import_(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="A source (complete_journey), or CSV, JSONL or Parquet files.", metavar="SOURCE|FILES..."),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="products, customers, events or promotions; found by the columns if not given.")
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="Ours=yours, for example customer_id=CustomerID; may be repeated.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code of the amounts.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="IANA name of the shop's clock; for times without a zone.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show mapping, types and five rows; write nothing.")
    ] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Bring tables in; what is there already is not added again."""
    from shoploom.data.sources.importing import make_request, plan_source
    from shoploom.shop import Shop

    source, paths = _source(inputs or [])
    out = Output(as_json, "import")
    columns = _mapping(mapping or [])
    shop = Shop.open(workspace)
    clock = {"currency": currency, "timezone": timezone}
    options: dict[str, Any] = {"paths": paths, "table": table, "mapping": columns, **clock}
    for one in [str(path) for path in paths] or [source]:
        out.read(one)
    if dry_run:
        zone = make_request(shop.workspace, source, **options)[1].shop.timezone
        plan = _on_the_clock(plan_source(shop.workspace, source, **options), zone)
        print_plan(out, plan)
        out.say("nothing was written")
        out.next("the same command without --dry-run, with --map OURS=YOURS where a column is wrong")
        out.done(**plan.to_dict())
        return
    result = import_named_source(out, shop, source, **options)
    out.next(f"shoploom check{option_text(workspace)}")
    out.done(**result.to_dict(), counts=shop.workspace.counts())


def import_named_source(out: Output, shop: Shop, source: str, **options: Any) -> ImportResult:
    """Import and say what became of the rows."""
    from shoploom.data.sources.importing import import_source

    with out.console.status(f"importing {source}"):
        result = import_source(shop.workspace, source, **options)
    rows = []
    for table, done in result.tables.items():
        numbers = (done.added, done.updated, done.repeated, done.quarantined)
        rows.append((table, *(f"{number:,}" for number in numbers)))
    out.table(("table", "new", "changed", "there before", "quarantined"), rows, right=(1, 2, 3, 4))
    for note in result.notes:
        out.say(f"note: {note}")
    if result.caveat:
        out.say(result.caveat)
    out.wrote(f"{shop.workspace.store_dir}: {tables_text(shop.workspace)}")
    return result


def print_plan(out: Output, plan: ImportPlan) -> None:
    """What an import would do: mapping, types and the first rows."""
    for one in plan.tables:
        rows = "" if one.rows is None else f", {one.rows:,} rows"
        out.say(f"{one.origin} -> {one.table}{rows}")
        out.table(
            ("ours", "yours", "type"),
            [(ours, yours, one.types.get(yours, "")) for ours, yours in one.mapping.items()],
        )
        filled = [name for name in one.preview.columns if one.preview[name].null_count() < one.preview.height]
        shown = one.preview.select(filled).head(5)
        out.table(titles(shown), cells(shown))
        if one.unused:
            out.say(f"not used: {', '.join(one.unused)}")
        for note in one.notes:
            out.say(f"note: {note}")


def check(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Look for what is wrong with the data.

    Duplicates, odd quantities and prices, gaps, unknown ids, clocks, leaks: an error stops, a warning does not.
    """
    from shoploom.shop import Shop

    out = Output(as_json, "check")
    shop = Shop.open(workspace)
    out.read(f"{workspace}: {tables_text(shop.workspace)}")
    report = shop.check()
    print_findings(out, shop, report)
    stopped = report.worst == "error"
    out.next("mend what is marked error, and import again" if stopped else f"shoploom train{option_text(workspace)}")
    out.done(worst=report.worst, findings=[asdict(one) for one in report.findings])
    if stopped:
        raise typer.Exit(1)


def print_findings(out: Output, shop: Shop, report: QualityReport) -> None:
    """The findings, worst first, and where the pages are."""
    for severity in ("error", "warning", "info"):
        for one in report.findings:
            if one.severity == severity:
                out.say(f"{severity:7} {one.message}")
                if one.fix:
                    out.say(f"{'':7} -> {one.fix}")
    for name in ("quality.html", "quality.json"):
        out.wrote(shop.workspace.reports_dir / name)


def _on_the_clock(plan: ImportPlan, timezone: str) -> ImportPlan:
    """The plan with its previews' moments on the shop's clock."""
    return replace(plan, tables=tuple(replace(one, preview=local_times(one.preview, timezone)) for one in plan.tables))


def _source(inputs: list[str]) -> tuple[str, list[Path]]:
    """The source and its files: a source's name comes first, files alone go to the source ``files``."""
    from shoploom.data.sources import SOURCES

    if not inputs:
        raise UsageError(f"name what to import: a source ({', '.join(SOURCES)}) or files, such as orders.csv")
    first = inputs[0]
    if first in SOURCES and not Path(first).exists():
        return first, [Path(one) for one in inputs[1:]]
    if not Path(first).exists() and not Path(first).suffix and len(inputs) == 1:
        raise UsageError(f"{unknown_name('source', first, SOURCES)} No file has this name either")
    return "files", [Path(one) for one in inputs]


def _mapping(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        ours, equals, yours = pair.partition("=")
        if not equals or not ours.strip() or not yours.strip():
            raise UsageError(f"--map {pair!r} is no pair; write OURS=YOURS, for example --map customer_id=CustomerID")
        ours, yours = ours.strip(), yours.strip()
        if found.get(ours, yours) != yours:
            raise UsageError(f"--map names {ours} twice, as {found[ours]!r} and {yours!r}; keep one")
        found[ours] = yours
    return found
