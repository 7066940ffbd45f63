from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from shoploom import Shop, __version__
from shoploom.cli import app
from shoploom.errors import DataError
from shoploom.evaluation.report import write_report
from tests.reports import make_report
from tests.services import make_workspace
from tests.services import publish as publish_members

RUNNER = CliRunner()


def run(*args: object) -> Result:
    return RUNNER.invoke(app, [str(one) for one in args])


def run_json(*args: object) -> dict[str, Any]:
    done = run(*args, "--json")
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def publish(shop: Shop) -> str:
    """A version that holds a report and no model."""

    def write(folder: Path) -> Mapping[str, Any]:
        report = make_report()
        write_report(report, folder)
        return {"data_fingerprint": "x", "tasks": {name: {"served_by": task["served_by"]}
                                                   for name, task in report["tasks"].items()}}  # fmt: skip

    return shop.registry.publish(write)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.create(tmp_path / "shop", currency="EUR", timezone="Europe/Paris")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic shop of London with cheap members that serve."""
    path = tmp_path_factory.mktemp("trained") / "shop"
    publish_members(make_workspace(path))
    return path


def test_version_and_help() -> None:
    assert run("--version").stdout == f"shoploom {__version__}\n"
    done = run("--help")
    assert done.exit_code == 0
    for name in typer.main.get_group(app).commands:
        assert f"  {name} " in done.stdout


def spelled(group: TyperGroup) -> Iterator[list[str]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from ([name, *rest] for rest in spelled(command))
        else:
            yield [name]


@pytest.mark.parametrize("words", list(spelled(typer.main.get_group(app))), ids=" ".join)
def test_every_command_has_help_and_json(words: list[str]) -> None:
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["fly"], "No such command"),
        (["train", "--fats"], "No such option"),
        (["ensemble", "shwo"], "No such command"),
        (["recommend"], "Missing argument"),
        (["recommend", "1", "-k", "0"], "greater than or equal to 1"),
        (["import"], "name what to import"),
        (["import", "complete_jurney"], "Did you mean 'complete_journey'"),
        (["import", "a.csv", "--map", "customer_id"], "write OURS=YOURS"),
        (["import", "a.csv", "--map", "time=a", "--map", "time=b"], "--map names time twice, as 'a' and 'b'"),
        (["predict", "chrun"], "Did you mean 'churn'"),
        (["predict", "churn", "--out", "x.xls"], "give it .parquet, .csv or .jsonl"),
        (["predict", "demand", "--customers", "ids.txt"], "name them with --products FILE"),
        (["demo", "--no-serve", "--size", "huge"], "train.size 'huge' is unknown; known: base, small, tiny"),
        (["demo", "--no-serve", "--seed", "-1"], "train.seed is -1; wanted 0 or more"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_do(args: list[str], words: str) -> None:
    done = run(*args)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "args",
    [["info"], ["check"], ["train"], ["evaluate"], ["promote"], ["rollback"], ["serve"], ["recommend", "7"],
     ["predict", "churn"], ["import", "complete_journey"], ["ensemble", "show"]],
)  # fmt: skip
def test_without_a_workspace_every_command_names_init(args: list[str], tmp_path: Path) -> None:
    done = run(*args, "-w", tmp_path)
    assert done.exit_code == 1
    assert f"shoploom init {tmp_path}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("size=huge", "train.size 'huge' is unknown; known: base, small, tiny"),
        ("device=gpu", "train.device 'gpu' is unknown; known: auto, cpu, cuda"),
        ("tasks=['chrun']", "Did you mean 'churn'"),
        ("tasks=churn", 'wanted a list, such as ["churn"]'),
        ("batch_size=-1", "train.batch_size is -1; wanted 0 or more"),
        ("clock.block_days=0", "clock.block_days is 0; wanted 1 or more"),
        ("dropout=3", "train.dropout is 3.0; wanted 0 or more and less than 1"),
        ("augment=1", "train.augment is 1.0; wanted 0 or more and less than 1"),
        ("imbalance=2", "train.imbalance is 2.0; wanted 0 (as they are) to 1 (all alike)"),
        ("learning_rate=-1", "train.learning_rate is -1.0; wanted a number above 0"),
        ("cleaning.price_range=[5,1]", "cleaning.price_range is [5.0, 1.0]; wanted a smaller and a larger number"),
        ("cleaning.goods_quantity=[1]", "cleaning.goods_quantity is [1.0]; wanted a smaller and a larger number"),
        ("cleaning.product_pattern='('", "is no regular expression"),
        ("mapping.events=3", "wanted a section [mapping.events] with lines such as"),
        ("serve.port=99999", "serve.port is 99999; wanted a number from 1 to 65535"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_names_what_is_possible(shop: Shop, setting: str, words: str) -> None:
    done = run("train", setting, "-w", shop.workspace.path)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_demo_writes_nothing(tmp_path: Path) -> None:
    assert run("demo", "--no-serve", "--size", "huge", "-w", tmp_path / "shop").exit_code == 2
    assert not (tmp_path / "shop").exists()


def test_a_configuration_that_cannot_be_read_is_named(shop: Shop) -> None:
    path = shop.workspace.path / "shoploom.toml"
    path.unlink()
    path.mkdir()
    done = run("info", "-w", shop.workspace.path)
    assert done.exit_code == 2
    assert f"{path} cannot be read" in done.stderr


def test_rules_of_cleaning_count_for_one_training(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoploom.config import CleaningConfig
    from shoploom.data.quality import QualityReport
    from shoploom.data.workspace import Workspace

    used: list[CleaningConfig] = []

    def stop(workspace: Workspace) -> QualityReport:
        used.append(workspace.config.cleaning)
        raise DataError("stopped here")

    monkeypatch.setattr("shoploom.data.quality.check", stop)
    assert "stopped here" in run("train", "cleaning.price_quantity=5.0", "-w", shop.workspace.path).stderr
    assert [one.price_quantity for one in used] == [5.0]
    assert Shop.open(shop.workspace.path).config.cleaning.price_quantity == 20.0


def test_cuda_without_a_gpu_names_the_other_devices(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = run("train", "device=cuda", "-w", shop.workspace.path)
    assert done.exit_code == 2
    assert "use device=auto or device=cpu" in done.stderr


@pytest.mark.parametrize("command", ["info", "check", "train", "serve", "promote", "demo"])
def test_a_file_in_place_of_a_workspace_is_named(command: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("time,product_id\n")
    done = run(command, "-w", path)
    assert done.exit_code == 1
    assert f"{path} is a file; name the directory of a workspace" in done.stderr
    inside = run("init", path / "shop")
    assert f"{path} is a file; name a new or empty directory" in inside.stderr


@pytest.mark.parametrize("damaged", ["products", "quarantine/events", "events/import-000001"])
@pytest.mark.parametrize("command", ["info", "check", "train"])
def test_a_damaged_table_is_named_with_the_way_out(shop: Shop, damaged: str, command: str) -> None:
    path = shop.workspace.store_dir / f"{damaged}.parquet"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"PAR1 cut off")
    done = run(command, "-w", shop.workspace.path)
    assert done.exit_code == 1
    assert f"{path} cannot be read" in done.stderr
    assert "restore it from a backup, or move it away and import its rows again" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_report_that_is_gone_is_named(shop: Shop) -> None:
    folder = shop.registry.folder(publish(shop))
    (folder / "report.json").unlink()
    done = run("evaluate", "-w", shop.workspace.path)
    assert done.exit_code == 1
    assert "report.json cannot be read" in done.stderr
    assert "train again" in done.stderr


def test_a_champion_that_is_gone_names_the_command(shop: Shop) -> None:
    folder = shop.registry.folder(publish(shop))
    shop.promote()
    folder.rename(folder.with_name("elsewhere"))
    done = run("recommend", "7", "-w", shop.workspace.path)
    assert done.exit_code == 1
    assert "known: none. `shoploom train` makes one" in done.stderr


def test_errors_are_json_with_json(tmp_path: Path) -> None:
    done = run("info", "-w", tmp_path, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["exit_code"] == 1
    assert "shoploom init" in json.loads(done.stdout)["error"]


def test_debug_shows_where_it_happened(tmp_path: Path) -> None:
    done = run("--debug", "info", "-w", tmp_path)
    assert done.exit_code != 0
    assert done.exception is not None
    assert type(done.exception).__name__ == "WorkspaceError"


def test_a_fault_of_ours_is_said_to_be_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(Shop, "open", broken)
    done = run("info")
    assert done.exit_code == 1
    assert "ZeroDivisionError: division by zero. This is a fault of Shoploom" in done.stderr


def test_an_interrupt_is_no_traceback(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shop, "open", interrupted)
    done = run("info")
    assert done.exit_code == 130
    assert "interrupted" in done.stderr


def test_init_writes_the_settings_and_names_the_next_command(tmp_path: Path) -> None:
    done = run("init", tmp_path / "shop", "--currency", "GBP", "--timezone", "Europe/London")
    assert done.exit_code == 0
    assert "next: shoploom import" in done.stdout
    assert Shop.open(tmp_path / "shop").config.shop.currency == "GBP"
    again = run("init", tmp_path / "shop")
    assert again.exit_code == 1
    assert "is a workspace already" in again.stderr


def test_init_refuses_an_unknown_time_zone_and_writes_nothing(tmp_path: Path) -> None:
    done = run("init", tmp_path / "shop", "--timezone", "Europe/Lundun")
    assert done.exit_code == 2
    assert "use an IANA name" in done.stderr
    assert not (tmp_path / "shop").exists()


def test_info_says_what_comes_next(shop: Shop) -> None:
    path = shop.workspace.path
    assert run_json("info", "-w", path)["next"] == f"shoploom import -w {path}"
    events = pl.DataFrame({"time": ["2024-01-01"], "product_id": ["tea"]}).with_columns(
        pl.col("time").str.to_datetime()
    )
    shop.workspace.append("events", events.with_columns(pl.lit("purchase").alias("type")), source="test")
    assert run_json("info", "-w", path)["next"] == f"shoploom train -w {path}"
    publish(shop)
    found = run_json("info", "-w", path)
    assert found["next"] == f"shoploom promote -w {path}"
    assert found["tables"]["events"] == 1
    assert found["versions"][0]["version"] == "v0001"


def test_evaluate_prints_the_table_and_the_verdicts(shop: Shop) -> None:
    publish(shop)
    done = run("evaluate", "-w", shop.workspace.path)
    assert done.exit_code == 0
    line = next(one for one in done.stdout.splitlines() if one.strip().startswith("demand"))
    for words in ("wape ↓", "lightgbm_demand", "0.404", "0.369", "worse"):
        assert words in line
    assert line.split().count("0.369") == 2
    assert "shared is" in done.stdout
    assert "profile is off: no customer has attributes" in done.stdout
    assert "shoploom promote v0001" in done.stdout
    found = run_json("evaluate", "-w", shop.workspace.path)
    assert found["tasks"]["demand"]["served_by"] == "lightgbm_demand"
    assert found["tasks"]["demand"]["served_value"] == 0.369
    assert found["tasks"]["demand"]["verdict"] == "worse"


def test_a_task_that_cannot_be_measured_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    from shoploom.commands.model import print_report
    from shoploom.commands.output import Output

    report = make_report()
    nothing = dict.fromkeys(("value", "low", "high"), math.nan)
    churn = report["tasks"]["churn"]
    churn["members"] = {name: {"auc": nothing} for name in churn["members"]}
    churn["differences"] = dict.fromkeys(churn["differences"], nothing)
    print_report(Output(as_json=False, command="train"), report)
    line = next(one for one in capsys.readouterr().out.splitlines() if one.strip().startswith("churn"))
    assert "not measurable" in line
    assert "nan" not in line


def test_promote_and_rollback(shop: Shop) -> None:
    path = shop.workspace.path
    nothing = run("promote", "-w", path)
    assert nothing.exit_code == 1
    assert "shoploom train" in nothing.stderr
    for _ in range(2):
        publish(shop)
    assert run_json("promote", "v0001", "-w", path)["champion"] == "v0001"
    assert run_json("promote", "-w", path) | {"read": 0, "wrote": 0} == {
        "command": "promote", "read": 0, "wrote": 0, "next": f"shoploom serve -w {path}",
        "champion": "v0002", "before": "v0001",
    }  # fmt: skip
    unknown = run("promote", "v0009", "-w", path)
    assert unknown.exit_code == 1
    assert "known: v0001, v0002" in unknown.stderr
    assert "`shoploom info` lists the versions" in unknown.stderr
    assert run_json("rollback", "-w", path)["champion"] == "v0001"
    assert run("rollback", "-w", path).exit_code == 1


def test_a_damaged_version_is_not_promoted(shop: Shop) -> None:
    folder = shop.registry.folder(publish(shop))
    (folder / "report.html").unlink()
    done = run("promote", "-w", shop.workspace.path)
    assert done.exit_code == 1
    assert "report.html is missing" in done.stderr


def test_recommend_before_training_says_so(shop: Shop) -> None:
    done = run("recommend", "7", "-w", shop.workspace.path)
    assert done.exit_code == 1
    assert "shoploom train" in done.stderr


def test_a_port_that_is_taken_is_refused_before_anything_is_loaded(shop: Shop) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = run("serve", "--port", other.getsockname()[1], "-w", shop.workspace.path)
    assert done.exit_code == 2
    assert "choose another with --port" in done.stderr


def test_doctor_finds_what_is_there(tmp_path: Path) -> None:
    found = run_json("doctor", "-w", tmp_path)
    by_name = {one["name"]: one for one in found["checks"]}
    assert found["ok"] is True
    assert by_name["torch"]["status"] == "ok"
    assert by_name["write permission"]["found"] == str(tmp_path)
    assert all(one["fix"] for one in found["checks"] if one["status"] == "missing")


def test_doctor_names_the_fix_for_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoploom.commands import machine

    monkeypatch.setattr(machine, "CORE", ("torch", "no_such_package"))
    monkeypatch.setenv("PATH", "")
    done = run("doctor", "-w", tmp_path)
    assert done.exit_code == 1
    assert "no_such_package: pip install" in done.stdout
    assert "apt-get install chromium" in done.stdout


def test_a_list_of_ids_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    from shoploom.commands.answers import read_ids

    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(DataError, match="is empty; give a text file with an id per line"):
        read_ids(tmp_path / "empty.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_ids(tmp_path / "absent.txt")
    (tmp_path / "ids.txt").write_text("\ufeff007\n a,b\nné🙂\n", encoding="utf-8")
    assert read_ids(tmp_path / "ids.txt") == ["007", " a,b", "né🙂"]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_answers_are_written_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    from shoploom.commands.answers import write_table

    frame = pl.DataFrame({"customer_id": ["007", 'a "b", c'], "mean": [1.5, 2.0]})
    path = tmp_path / f"answers.{suffix}"
    write_table(frame, path)
    kinds = {"customer_id": pl.Utf8, "mean": pl.Float64}
    read = {"parquet": pl.read_parquet, "csv": lambda p: pl.read_csv(p, schema=kinds), "jsonl": pl.read_ndjson}[suffix]
    assert read(path).equals(frame)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    with pytest.raises(DataError, match="check that the folder exists"):
        write_table(frame, tmp_path / "no" / f"answers.{suffix}")


def test_numbers_of_tables_keep_what_matters() -> None:
    from shoploom.commands.output import cell

    assert [cell(one) for one in (138.15, 1234.5, 99.987, 0.123456, 0.0)] == [
        "138.15",
        "1234.50",
        "99.99",
        "0.1235",
        "0",
    ]
    assert cell(0.00003, probability=True) == "< 0.0001"
    assert cell(0.0, probability=True) == "0"
    assert cell(0.00003) == "3e-05"


def test_moments_are_on_the_shop_s_clock_and_files_say_the_offset() -> None:
    from shoploom.commands.output import cells, local_times, time_texts, titles

    frame = pl.DataFrame({"start": [datetime(2024, 3, 30, 23), datetime(2024, 4, 6, 22)], "block": [0, 1]})
    local = local_times(frame, "Europe/Paris")
    assert titles(local) == ["start (Europe/Paris)", "block"]
    assert cells(local) == [["2024-03-31 00:00:00", "0"], ["2024-04-07 00:00:00", "1"]]
    assert time_texts(local)["start"].to_list() == ["2024-03-31T00:00:00+01:00", "2024-04-07T00:00:00+02:00"]


def test_a_dry_run_shows_moments_on_the_shop_s_clock(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("time,customer_id,product_id,quantity,price\n2024-07-01 09:30:00,a,tea,1,2.50\n")
    done = run("import", path, "--dry-run", "-w", shop.workspace.path)
    assert "time (Europe/Paris)" in done.stdout
    assert "2024-07-01 09:30:00" in done.stdout
    other = run("import", path, "--dry-run", "--timezone", "Asia/Tokyo", "-w", shop.workspace.path)
    assert "time (Asia/Tokyo)" in other.stdout
    found = run_json("import", path, "--dry-run", "-w", shop.workspace.path)
    assert found["tables"][0]["preview"][0]["time"] == "2024-07-01T09:30:00+02:00"


def test_customers_of_orders_are_counted_without_a_table_of_them(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    rows = "".join(f"2024-07-0{day} 09:30:00,{who},tea,1,2.50\n" for day in (1, 2) for who in "abc")
    path.write_text("time,customer_id,product_id,quantity,price\n" + rows)
    words = "3 customers in orders, no customer table"
    assert words in run("import", path, "-w", shop.workspace.path).stdout
    assert words in run("info", "-w", shop.workspace.path).stdout
    assert words in run("check", "-w", shop.workspace.path).stdout


def test_check_prints_every_hint_and_both_pages(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    from shoploom.commands.data import print_findings
    from shoploom.commands.output import Output
    from shoploom.data.quality import QualityReport
    from shoploom.data.quality_checks import Finding

    findings = (Finding("info", "ids", "guests", fix="nothing; guests are usual"), Finding("warning", "size", "short"))
    report = QualityReport(name="shop", counts={}, findings=findings)
    print_findings(Output(as_json=False, command="check"), shop, report)
    shown = capsys.readouterr().out
    assert "-> nothing; guests are usual" in shown
    assert shown.count("->") == 1
    assert "quality.html" in shown
    assert "quality.json" in shown


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("churn", "churn: probability of no purchase in the next 28 days"),
        ("spend", "spend: EUR in the next 28 days"),
        ("demand", "demand: pieces per 7 days, for the next 28 days"),
        ("price", "price: shelf price in EUR"),
        ("next_basket", "the highest score first"),
    ],
)
def test_answers_stand_under_their_unit_and_horizon(trained: Path, task: str, words: str) -> None:
    done = run("predict", task, "-w", trained)
    assert done.exit_code == 0, done.output
    assert words in done.stdout


def test_demand_starts_at_midnight_of_the_shop(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    done = run("predict", "demand", "--out", path, "-w", trained)
    assert "start (Europe/London)" in done.stdout
    assert str(pl.read_csv(path, infer_schema=False)["start"][0])[-6:] in ("+00:00", "+01:00")


def test_unknown_ids_are_left_out_and_listed_unless_strict(trained: Path, tmp_path: Path) -> None:
    ids, path = tmp_path / "ids.txt", tmp_path / "churn.csv"
    ids.write_text("c005\nnobody\nc001\n")
    args = ("predict", "churn", "--customers", ids, "--out", path, "-w", trained)
    strict = run(*args, "--strict")
    assert strict.exit_code == 1
    assert "1 of 3 customer ids are unknown to this version: 'nobody'" in strict.stderr
    assert not path.exists()
    done = run(*args)
    assert done.exit_code == 0, done.output
    assert pl.read_csv(path)["customer_id"].to_list() == ["c005", "c001"]
    assert "1 customer id is unknown to this version" in done.stderr
    assert "  nobody\n" in done.stderr
    assert run_json(*args)["unknown"] == ["nobody"]
    ids.write_text("nobody\n")
    assert run(*args).exit_code == 1


def test_an_unknown_customer_gets_best_sellers_and_the_likely_spelling(trained: Path) -> None:
    done = run("recommend", "C005", "-w", trained)
    assert done.exit_code == 0, done.output
    assert "note: nothing is known about customer 'C005'; these sell best. Did you mean 'c" in done.stdout
    assert run_json("recommend", "c005", "-w", trained)["did_you_mean"] is None


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "shoploom", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"shoploom {__version__}\n"


def test_a_currency_that_is_no_code_is_refused(tmp_path: Path) -> None:
    done = run("init", tmp_path / "shop", "--currency", "euro")
    assert done.exit_code == 2
    assert "'euro' is no ISO 4217 code" in done.stderr
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("bakeoff", "sharing=mmoe"), "sharing is what a bake-off compares: say it as --sharing"),
        (("bakeoff", "train.balancing=famo"), "balancing is what a bake-off compares: say it as --methods"),
        (("certify", "--group", "Auto"), "--group 'Auto' is unknown"),
    ],
)
def test_a_comparison_takes_its_own_options_only(shop: Shop, command: tuple[str, ...], words: str) -> None:
    done = run(*command, "-w", shop.workspace.path)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
