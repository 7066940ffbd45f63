"""The command line: one verb per stage. Exit status 0 is good, 1: data or model are at fault, 2: wrong usage."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from shoploom import __version__
from shoploom.commands import (
    answers,
    backtest,
    bakeoff,
    certify,
    data,
    demo,
    endtoend,
    ensemble,
    explain,
    features,
    lists,
    machine,
    model,
    service,
    simulate,
    tune,
)
from shoploom.errors import ShoploomError

INTERRUPTED = 130


class FriendlyGroup(TyperGroup):
    """Turns errors into one paragraph on standard error and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a traceback is shown with ``--debug`` only."""
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except ShoploomError as error:
            if ctx.params.get("debug"):
                raise
            _complain(str(error), as_json, error.exit_code)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            _complain("interrupted; the same command continues or starts clean", as_json, INTERRUPTED)
            raise typer.Exit(INTERRUPTED) from error
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            text = f"{type(error).__name__}: {error}. This is a fault of Shoploom; `shoploom --debug ...` shows where"
            _complain(text, as_json, 1)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=FriendlyGroup,
    help="One multi-task model for a whole shop, from raw tables to a served dashboard.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(data.init)
app.command("import")(data.import_)
app.command("check")(data.check)
app.command("features")(features.features)
app.command("tune")(tune.tune)
app.command("train")(model.train)
app.command("backtest")(backtest.backtest)
app.command("evaluate")(model.evaluate)
app.command("certify")(certify.certify)
app.command("bakeoff")(bakeoff.bakeoff)
app.command("endtoend")(endtoend.endtoend)
app.command("recommend")(answers.recommend)
app.command("list")(lists.list_)
app.command("explain")(explain.explain)
app.command("predict")(answers.predict)
app.command("promote")(model.promote)
app.command("rollback")(model.rollback)
app.command("serve")(service.serve)
app.command("simulate")(simulate.simulate)
app.command("demo")(demo.demo)
app.command("info")(machine.info)
app.command("doctor")(machine.doctor)
app.add_typer(ensemble.APP, name="ensemble")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shoploom {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """One multi-task model for a whole shop, from raw tables to a served dashboard."""


def main() -> None:
    """Entry point of the console script."""
    app()


def _complain(text: str, as_json: bool, status: int) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"error": text, "exit_code": status}, ensure_ascii=False) + "\n")
    sys.stderr.write(f"shoploom: {text}\n")


if __name__ == "__main__":
    main()
