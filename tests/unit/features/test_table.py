"""Tables as arrays: the numbers of each column by hand, and what happens to columns that are odd."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from shoploom.errors import DataError, SchemaError
from shoploom.features.table import BINS, FIRST, MISSING, UNKNOWN, TablePipeline, piecewise_linear
from shoploom.features.table_labels import LabelSet, leaks
from tests.tables import LABELS, made_table


def inputs(number: int = 400, seed: int = 0) -> pl.DataFrame:
    return made_table(number, seed).drop("id", *LABELS)


def test_numbers_are_standardised_and_missing_ones_stay_missing():
    frame = pl.DataFrame({"price": [1.0, 3.0, None, float("inf")]})
    found = TablePipeline().fit(frame).transform(frame).numbers[:, 0]
    np.testing.assert_allclose(found[:2], [-1.0, 1.0])  # mean 2, spread 1
    assert np.isnan(found[2:]).all()


def test_categories_have_codes_and_rare_or_new_or_empty_ones_their_own():
    frame = pl.DataFrame({"shop": ["b", "b", "a", "a", "c", None, ""]})
    pipeline = TablePipeline().fit(frame, fewest=2)
    asked = pl.DataFrame({"shop": ["a", "b", "c", "new", None, ""]})
    codes = pipeline.transform(asked).codes[:, 0].tolist()
    assert codes == [FIRST, FIRST + 1, UNKNOWN, UNKNOWN, MISSING, MISSING]


def test_categories_that_become_frequent_get_codes_and_old_codes_never_move():
    pipeline = TablePipeline().fit(pl.DataFrame({"shop": ["b"] * 3 + ["c"] * 3}), fewest=3)
    assert pipeline.grow(pl.DataFrame({"shop": ["a"] * 3 + ["d"]}), fewest=3) == {"shop": 1}
    codes = pipeline.transform(pl.DataFrame({"shop": ["b", "c", "a", "d"]})).codes[:, 0].tolist()
    assert codes == [FIRST, FIRST + 1, FIRST + 2, UNKNOWN]


def test_roles_follow_types_and_lengths():
    pipeline = TablePipeline().fit(inputs())
    assert pipeline.roles == {"title": "text", "shop": "category", "price": "number", "pieces": "number"}
    assert pipeline.constant == ("constant",)
    # whole numbers with few values are categories, too
    assert pipeline.shape.categories == ("shop", "pieces")


def test_moments_become_days_hours_and_weekdays():
    frame = pl.DataFrame({"at": [datetime(1970, 1, 2, 12), datetime(1970, 1, 4, 18)]})
    pipeline = TablePipeline().fit(frame, fewest=1)
    assert pipeline.shape.numbers == ("at day", "at hour", "at weekday")
    assert pipeline.scales["at day"][0] == pytest.approx((1.5 + 3.75) / 2)
    assert pipeline.scales["at hour"][0] == pytest.approx(15.0)
    assert pipeline.scales["at weekday"][0] == pytest.approx((5 + 7) / 2)  # Friday, Sunday


def test_bins_hold_equally_many_rows_even_where_one_value_is_most_of_them():
    values = np.concatenate([np.zeros(900), np.arange(1, 101)])
    edges = TablePipeline().fit(pl.DataFrame({"gain": values})).shape.edges[0]
    assert len(np.unique(edges)) == BINS + 1


def test_piecewise_linear_encoding_is_the_one_of_the_paper():
    edges = np.array([[0.0, 1.0, 3.0, 3.0]], dtype=np.float32)
    found = piecewise_linear(np.array([[-1.0], [2.0], [9.0], [np.nan]], dtype=np.float32), edges)[:, 0]
    # e_t = 0 before the bin, 1 past it, (x - b_{t-1}) / (b_t - b_{t-1}) within; a bin of no width says nothing
    np.testing.assert_allclose(found, [[0, 0, 0], [1, 0.5, 0], [1, 1, 0], [0, 0, 0]])


def test_texts_have_words_and_pieces_and_unknown_words_share_pieces():
    pipeline = TablePipeline().fit(inputs())
    view = pipeline.transform(inputs().head(1).with_columns(title=pl.lit("mugs for woolly you")))
    assert view.texts.shape[1] == pipeline.shape.tokens
    words = len(pipeline.kept[0])
    assert view.texts[:, :words].nnz > 0
    assert view.texts[:, words:].nnz > 0


def test_long_texts_have_no_pieces():
    texts = [" ".join(f"word{(i + j) % 90}" for j in range(40)) for i in range(60)]
    pipeline = TablePipeline().fit(pl.DataFrame({"text": texts}))
    assert len(pipeline.kept[0]) > 0
    assert len(pipeline.kept[1]) == 0


def test_saved_and_loaded_pipelines_read_alike():
    pipeline = TablePipeline().fit(inputs())
    settings, arrays = pipeline.state()
    again = TablePipeline.from_state(json.loads(json.dumps(settings, sort_keys=True)), arrays)
    one, other = pipeline.transform(inputs(50, 1)), again.transform(inputs(50, 1))
    np.testing.assert_array_equal(one.numbers, other.numbers)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.factors, other.factors)
    assert (one.texts != other.texts).nnz == 0


def test_an_empty_table_and_one_of_constants_are_refused():
    with pytest.raises(DataError, match="no rows"):
        TablePipeline().fit(inputs().head(0))
    with pytest.raises(DataError, match="no input column changes: constant"):
        TablePipeline().fit(pl.DataFrame({"constant": [1, 1, 1]}))
    strange = [f"{chr(97 + i) * 9} {chr(97 + i) * 7}" for i in range(20)]
    with pytest.raises(DataError, match="no word of title is in two rows"):
        TablePipeline().fit(pl.DataFrame({"title": strange}))


def test_a_missing_column_and_bytes_are_named():
    pipeline = TablePipeline().fit(inputs())
    with pytest.raises(SchemaError, match="lacks 'price'"):
        pipeline.transform(inputs().drop("price"))
    with pytest.raises(SchemaError, match="column 'photo' holds Binary"):
        TablePipeline().fit(pl.DataFrame({"photo": [b"a", b"b"]}))
    with pytest.raises(SchemaError, match="column 'price' holds text, but numbers were learned"):
        pipeline.transform(inputs().with_columns(price=pl.lit("dear")))


def test_no_rows_are_read_as_no_rows():
    pipeline = TablePipeline().fit(inputs())
    assert len(pipeline.transform(inputs().head(0))) == 0


def test_labels_are_coded_in_the_order_of_numbers_and_unknown_where_empty():
    frame = pl.DataFrame({"year": ["10", "9", None, "", "unclear"], "yes": [1.0, 0.0, None, float("nan"), 1.0]})
    labels = LabelSet.read(frame, ["year", "yes"])
    assert labels.classes == {"year": ("9", "10", "unclear"), "yes": ("0", "1")}
    assert labels.codes["year"].tolist() == [1, 0, -1, -1, 2]
    assert labels.codes["yes"].tolist() == [1, 0, -1, -1, 1]
    np.testing.assert_allclose(labels.shares("year"), [1 / 3] * 3)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, 1, 1], "label 'y' has the one class '1' in 3 rows"),
        ([None, None, None], "label 'y' has no value"),
        ([b"a", b"b", b"c"], "label 'y' holds Binary"),
    ],
)
def test_labels_that_cannot_be_learned_are_named(column, message):
    with pytest.raises(SchemaError, match=message):
        LabelSet.read(pl.DataFrame({"y": column}), ["y"])


def test_unknown_labels_and_none_at_all_are_errors():
    with pytest.raises(SchemaError, match="Did you mean 'kind'"):
        LabelSet.read(made_table(), ["kid"])
    with pytest.raises(SchemaError, match="no label is named"):
        LabelSet.read(made_table(), [])


def test_columns_that_give_a_label_away_are_named_and_honest_ones_are_not():
    frame = made_table()
    told = frame.with_columns(paid=pl.col("dear") * 3.0 + 1e-3 * pl.col("pieces"), tag=pl.col("kind") + pl.lit("!"))
    labels = LabelSet.read(told, list(LABELS))
    told = told.drop("id", *LABELS)
    pipeline = TablePipeline().fit(told)
    found = leaks(pipeline.transform(told), pipeline.shape, labels)
    assert len(found) == 2
    assert "column 'paid' alone ranks label 'dear' with an AUC of 1.0000" in found[0] + found[1]
    assert "column 'tag' alone ranks label 'kind'" in found[0] + found[1]


def test_a_column_of_rare_values_proves_nothing():
    draws = np.random.default_rng(0)
    frame = pl.DataFrame({"customer": draws.integers(60, size=200).astype(str), "y": draws.integers(2, size=200)})
    pipeline = TablePipeline().fit(frame.drop("y"), fewest=1)
    assert leaks(pipeline.transform(frame), pipeline.shape, LabelSet.read(frame, ["y"])) == []
