from __future__ import annotations

import gzip
import json
import random
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from shoploom.data.sources.framing import read_frame
from shoploom.data.sources.importing import import_source, plan_source
from shoploom.data.workspace import Workspace
from shoploom.errors import SchemaError, ShoploomError, UsageError

LINES = '''order_id,customer_id,sku,name,qty,price,order_date,country
1,007,a1,Green tea,2,3.50,2024-05-01 10:00,UK
1,007,a2,"Mug, ""big""",1,8.00,2024-05-01 10:00,UK
2,008,a1,Green tea,1,3.50,2024-05-02 11:30,DE
3,,a3,🍵 set,1,20.00,2024-05-03 09:15,DE
4,008,a1,Green tea,-1,3.50,2024-05-04 12:00,DE
'''


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.init(tmp_path / "shop")


@pytest.fixture
def put(tmp_path: Path):
    def write(content: str | bytes, name: str = "orders.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def take(workspace: Workspace, *paths: Path, **options: object) -> pl.DataFrame:
    import_source(workspace, "files", paths=paths, **options)
    return workspace.read("events")


def test_a_csv_with_telling_names_needs_no_mapping(workspace, put):
    result = import_source(workspace, "files", paths=[put(LINES)])
    assert result.tables["events"].added == 5
    events = workspace.read("events")
    assert events["customer_id"].to_list() == ["007", "007", "008", None, "008"]
    assert events["type"].to_list() == ["purchase"] * 4 + ["refund"]
    assert events["quantity"].to_list() == [2.0, 1.0, 1.0, 1.0, 1.0]
    assert events["amount"].to_list() == [7.0, 8.0, 3.5, 20.0, 3.5]
    assert events["time"][0] == datetime(2024, 5, 1, 10)


def test_products_come_from_the_lines_and_attributes_go_where_they_are_constant(workspace, put):
    rows = "".join(
        f"{row},{100 + row % 5},p{row % 3},Tea {row % 3},1,2,2024-05-{1 + row % 28:02d},{'UK' if row % 5 else 'DE'}\n"
        for row in range(60)
    )
    import_source(workspace, "files", paths=[put(LINES.splitlines()[0] + "\n" + rows)])
    assert dict(workspace.read("products").select("product_id", "title").rows()) == {
        f"p{n}": f"Tea {n}" for n in range(3)
    }
    customers = dict(workspace.read("customers").select("customer_id", "attributes").rows())
    assert customers == {"100": '{"country":"DE"}'} | {f"10{n}": '{"country":"UK"}' for n in range(1, 5)}


def test_the_mapping_is_remembered_for_the_next_import(workspace, put):
    renamed = LINES.replace("customer_id", "kdx").replace("sku", "thing")
    import_source(workspace, "files", paths=[put(renamed)], mapping={"customer_id": "kdx", "product_id": "thing"})
    again = Workspace.open(workspace.path)
    assert again.config.mapping["events"]["customer_id"] == "kdx"
    result = import_source(again, "files", paths=[put(renamed + "9,009,a1,Green tea,1,3.50,2024-05-09 10:00,UK\n")])
    assert (result.tables["events"].added, result.tables["events"].repeated) == (1, 5)


def test_a_plan_shows_mapping_types_and_five_rows_and_writes_nothing(workspace, put):
    (table,) = plan_source(workspace, "files", paths=[put(LINES)]).tables
    assert (table.table, table.rows) == ("events", 5)
    assert table.mapping["product_id"] == "sku"
    assert table.types["qty"] == "String"
    assert len(table.preview) == 5
    assert table.unused == ("country",)
    assert json.loads(json.dumps(table.to_dict()))["preview"][0]["customer_id"] == "007"
    assert workspace.counts()["events"] == 0


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found(workspace, put, delimiter):
    content = LINES.replace('"Mug, ""big"""', "Mug").replace(",", delimiter)
    assert len(take(workspace, put(content))) == 5


def test_decimal_commas_and_german_dates(workspace, put):
    rows = "1;A;31.01.2024 18:30;2;1.234,50\n2;B;01.02.2024 08:00;1;3,00\n"
    content = "Kundennr;Artikelnr;Bestelldatum;Menge;Einzelpreis\n" + rows
    events = take(workspace, put(content), timezone="Europe/Berlin", currency="EUR")
    assert events["price"].to_list() == [1234.5, 3.0]
    assert events["time"][0] == datetime(2024, 1, 31, 17, 30)
    assert Workspace.open(workspace.path).config.shop.currency == "EUR"


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv.gz", "jsonl.gz", "json", "tsv", "latin", "bom"])
def test_all_formats_give_the_same_events(tmp_path, put, kind):
    frame = pl.read_csv(LINES.encode(), infer_schema=False)
    path = tmp_path / f"orders.{kind}"
    if kind == "parquet":
        frame.with_columns(pl.col("qty").cast(pl.Int64), pl.col("price").cast(pl.Float64)).write_parquet(path)
    elif kind.startswith("csv"):
        path.write_bytes(gzip.compress(LINES.encode()))
    elif kind.startswith("jsonl"):
        body = frame.write_ndjson().encode()
        path.write_bytes(gzip.compress(body) if kind.endswith("gz") else body)
    elif kind == "json":
        path.write_text(json.dumps(frame.to_dicts()))
    elif kind == "tsv":
        frame.write_csv(path, separator="\t")
    else:
        path = tmp_path / "orders.csv"
        path.write_bytes(
            LINES.replace("🍵", "Tée").encode("cp1252") if kind == "latin" else b"\xef\xbb\xbf" + LINES.encode()
        )
    wanted = take(Workspace.init(tmp_path / "one"), put(LINES, "plain.csv"))
    assert take(Workspace.init(tmp_path / "two"), path)["event_id"].to_list() == wanted["event_id"].to_list()


def test_nested_tracker_events_are_unfolded(workspace, put):
    events = [
        {"event_name": "purchase", "event_timestamp": 1714557600000000, "user_pseudo_id": "u1",
         "ecommerce": {"transaction_id": "t1"},
         "items": [{"item_id": "a", "quantity": 2, "price": 3.0}, {"item_id": "b", "quantity": 1, "price": 5.0}]},
        {"event_name": "view_item", "event_timestamp": 1714557600000001, "user_pseudo_id": "u2",
         "ecommerce": {"transaction_id": None}, "items": [{"item_id": "a", "quantity": None, "price": 3.0}]},
    ]  # fmt: skip
    found = take(workspace, put("\n".join(map(json.dumps, events)), "ga4.jsonl"))
    assert found["product_id"].to_list() == ["a", "b", "a"]
    assert found["type"].to_list() == ["purchase", "purchase", "view"]
    assert found["order_id"].to_list() == ["t1", "t1", None]


def test_order_headers_are_joined_to_their_lines(workspace, put):
    headers = put(
        "order_id,customer_id,order_purchase_timestamp\n1,c1,2024-05-01 10:00:00\n2,c2,2024-05-02 10:00:00\n", "o.csv"
    )
    lines = put("order_id,order_item_id,product_id,price\n1,1,a,2.0\n1,2,b,3.0\n2,1,a,2.0\n", "i.csv")
    found = take(workspace, headers, lines)
    assert found["customer_id"].to_list() == ["c1", "c1", "c2"]


def test_several_tables_at_once(workspace, put):
    products = put(
        "sku,name,department,category,weight\na1,Green tea,Food,Tea,100\na2,Mug,Home,Mugs,300\n", "products.csv"
    )
    customers = put("customer_id,age,email\n007,30-39,x@example.org\n", "customers.csv")
    promotions = put("sku,start_date,end_date,promo_type\na1,2024-05-01,2024-05-07,flyer\n", "promotions.csv")
    result = import_source(workspace, "files", paths=[put(LINES), products, customers, promotions])
    assert set(result.tables) == {"events", "products", "customers", "promotions"}
    assert workspace.read("products")["category"].to_list()[:2] == [["Food", "Tea"], ["Home", "Mugs"]]
    attributes = dict(workspace.read("customers").select("customer_id", "attributes").rows())
    assert json.loads(attributes["007"]) == {"age": "30-39", "country": "UK"}
    assert any("may identify persons" in note for note in result.notes)
    assert workspace.read("promotions")["end"].item() == datetime(2024, 5, 8)


def test_a_folder_is_all_its_tables(workspace, put, tmp_path):
    put(LINES)
    put("not a table", "notes.md")
    assert len(take(workspace, tmp_path)) == 5


def test_discounts_are_of_the_line_unless_said_otherwise():
    frame = pl.DataFrame(
        {"c": ["1"], "p": ["a"], "t": ["2024-05-01"], "q": [2], "a": [6.0], "d1": [-1.0], "d2": [1.0], "k": [0.5]}
    )
    mapping = {
        "customer_id": "c",
        "product_id": "p",
        "time": "t",
        "quantity": "q",
        "amount": "a",
        "discount": ["d1", "d2"],
        "coupon": "k",
    }
    line = read_frame(frame, "events", mapping).frame
    assert line.select("price", "discount", "context").row(0) == (3.0, 1.0, '{"coupon":0.5}')
    unit = read_frame(frame, "events", {**mapping, "discount_per": "unit"}).frame
    assert unit["discount"].item() == 2.0


def test_a_list_price_is_reduced_where_the_mapping_says_so():
    frame = pl.DataFrame({"c": ["1"], "p": ["a"], "t": ["2024-05-01"], "q": [2], "list": [5.0], "d": [2.0]})
    mapping = {
        "customer_id": "c",
        "product_id": "p",
        "time": "t",
        "quantity": "q",
        "price": "list",
        "discount": "d",
        "price_is": "shelf",
    }
    assert read_frame(frame, "events", mapping).frame.select("price", "amount").row(0) == (4.0, 8.0)


def test_a_plan_in_blocks_of_shares():
    frame = pl.DataFrame({"p": [1, 1], "block": [-1, 0], "mailer_share": [0.5, 0.0], "display_share": [0.25, 1.0]})
    mapping = {
        "product_id": "p",
        "block": "block",
        "share": ["mailer_share", "display_share"],
        "block_origin": "2024-05-06T00:00:00",
    }
    made = read_frame(frame, "promotions", mapping).frame.sort("start", "kind")
    assert made.select("start", "kind", "share").rows() == [
        (datetime(2024, 4, 29), "display", 0.25),
        (datetime(2024, 4, 29), "mailer", 0.5),
        (datetime(2024, 5, 6), "display", 1.0),
    ]


def test_a_constant_says_what_all_rows_are():
    frame = pl.DataFrame({"c": ["1"], "p": ["a"], "t": ["2024-05-01"]})
    batch = read_frame(frame, "events", {"customer_id": "c", "product_id": "p", "time": "t", "type": "=view"})
    assert batch.frame["type"].to_list() == ["view"]


def test_a_few_unreadable_rows_go_to_quarantine(workspace, put):
    rows = [f"{n},c{n % 9},p{n % 7},1,2.0,2024-05-{1 + n % 28:02d}" for n in range(500)]
    rows[250] = "250,c1,p1,1,2.0,soon"
    result = import_source(
        workspace, "files", paths=[put("order_id,customer_id,sku,qty,price,date\n" + "\n".join(rows))]
    )
    assert result.tables["events"].quarantined == 1
    held = workspace.read_quarantine("events")
    assert held["row"].to_list() == [251]
    assert json.loads(held["found"][0])["date"] == "soon"


HEADER = "order_id,customer_id,sku,qty,price,date\n"
BROKEN = {
    "missing file": (None, r"none\.csv: there is no such file"),
    "empty file": ("", "the file is empty"),
    "only a header": (HEADER, "has a header but no rows|has no rows"),
    "dates": (
        HEADER + "1,c,p,1,2.0,soon\n2,c,p,1,2.0,2024-05-01\n",
        r"column 'date' \(time\): 1 of 2 rows hold 'soon' \(data rows 1\); wanted times as in .*%Y-%m-%d",
    ),
    "negative price": (
        HEADER + "1,c,p,1,-2.0,2024-05-01\n2,d,p,1,2.0,2024-05-01\n",
        r"column 'price' \(price\): 1 of 2 rows hold '-2.0' \(data rows 1\); wanted no negative value",
    ),
    "no number": (HEADER + "1,c,p,one,2.0,2024-05-01\n", r"column 'qty' \(quantity\): 1 of 1 rows hold 'one'"),
    "missing column": (
        "customer_id,qty,price,date,product_name\nc,1,2.0,2024-05-01,x\n",
        r"no column was found for product_id; the columns are 'customer_id'.*--map product_id=COLUMN",
    ),
    "duplicate column": (
        "sku,sku,customer_id,date\n1,2,3,2024-05-01\n",
        "column 'sku' stands in the header more than once",
    ),
    "no header": ("1,2,3.5,2024-05-01\n2,3,4.5,2024-05-02\n", "holds values, not names of columns"),
    "too many fields": (
        HEADER + "1,c,p,1,2.0,2024-05-01\n2,c,p,1,2,5,2024-05-01\n",
        "line 3 has 7 fields, the header has 6",
    ),
    "unknown names": ("a,b,c\n1,2,3\n", "do not tell what the table holds"),
    "unknown type": (
        "user_id,item_id,event_type,timestamp\nu,i,teleport,2024-05-01\n",
        r"'teleport'.*wanted one of impression",
    ),
    "broken gzip": (gzip.compress(LINES.encode())[:60], "gzip file is damaged"),
    "fake parquet": (b"PAR1 but not really", "Parquet file is damaged"),
    "random bytes": (random.Random(0).randbytes(100_000), "this is no text table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_ends_in_one_paragraph_and_leaves_nothing(workspace, put, tmp_path, name):
    content, message = BROKEN[name]
    path = tmp_path / "none.csv" if content is None else put(content)
    with pytest.raises(SchemaError, match=message) as caught:
        import_source(workspace, "files", paths=[path])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 900
    assert caught.value.exit_code == 1
    assert workspace.counts() == {"events": 0, "products": 0, "customers": 0, "promotions": 0, "quarantine": 0}


@pytest.mark.parametrize("letters", [bytes(range(256)), b"abcdefghij0123456789 \n", b"abc,;\t|\"'\n01"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "csv.gz", "txt"])
def test_ten_megabytes_of_garbage_end_in_one_paragraph(workspace, put, letters, suffix):
    draws = random.Random(1)
    body = bytes(draws.choices(letters, k=100_000)) * 100
    with pytest.raises(ShoploomError) as caught:
        import_source(workspace, "files", paths=[put(body, f"garbage.{suffix}")])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_a_wrong_delimiter_is_recognised(workspace, put):
    with pytest.raises(SchemaError, match="the delimiter ';' finds one column only; the file looks separated by ','"):
        import_source(workspace, "files", paths=[put(LINES)], mapping={"delimiter": ";"})


def test_a_wrong_mapping_names_the_nearest_column(workspace, put):
    with pytest.raises(SchemaError, match=r"'custmer_id' is unknown; .*Did you mean 'customer_id'"):
        import_source(workspace, "files", paths=[put(LINES)], mapping={"customer_id": "custmer_id"})
    with pytest.raises(UsageError, match=r"'customr_id' is unknown; .*Did you mean 'customer_id'"):
        import_source(workspace, "files", paths=[put(LINES)], mapping={"customr_id": "customer_id"})


def test_a_file_that_does_not_exist_names_a_near_one(workspace, put):
    put(LINES)
    with pytest.raises(SchemaError, match=r"Did you mean 'orders\.csv'"):
        import_source(workspace, "files", paths=[workspace.path.parent / "order.csv"])


def test_no_file_at_all_is_a_usage_error(workspace):
    with pytest.raises(UsageError, match="no file was given"):
        import_source(workspace, "files")


def test_a_wrong_time_format_names_itself(workspace, put):
    with pytest.raises(SchemaError, match="wanted times written as %d"):
        import_source(workspace, "files", paths=[put(LINES)], mapping={"time_format": "%d.%m.%Y"})
