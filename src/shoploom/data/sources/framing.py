"""A raw frame and a mapping into canonical rows; rows that cannot be read go to the quarantine with the reason.

Few such rows are put aside; more than one in a hundred is a wrong export or a wrong mapping, and an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from shoploom.data import doubts, schema
from shoploom.data.sources import convert, roles
from shoploom.data.sources.base import Batch
from shoploom.data.sources.tabular import clip, listed
from shoploom.errors import SchemaError, UsageError, unknown_name

DOUBTFUL_SHARE = 0.01
"""Share of unreadable rows above which the import stops."""

Columns = Mapping[str, str | Sequence[str]]


@dataclass
class _Reading:
    """A frame on its way: which rows failed, and what was decided."""

    raw: pl.DataFrame
    table: str
    origin: str
    columns: dict[str, list[str]]
    options: dict[str, str]
    timezone: str
    notes: list[str] = field(default_factory=list)
    reason: pl.Series = field(default_factory=pl.Series)

    def __post_init__(self) -> None:
        self.reason = pl.Series("reason", [None], dtype=pl.Utf8).new_from_index(0, len(self.raw))

    def has(self, role: str) -> bool:
        return role in self.columns

    def only(self, role: str) -> pl.Series:
        return self._column(self.columns[role][0])

    def every(self, role: str) -> list[pl.Series]:
        return [self._column(name) for name in self.columns.get(role, [])]

    def _column(self, name: str) -> pl.Series:
        if name.startswith("="):
            return pl.Series(name, [name[1:]]).new_from_index(0, len(self.raw))
        return self.raw[name]

    def fail(self, bad: pl.Series, role: str, wanted: str) -> None:
        """Mark rows; stop if they are many, or if they are the first of their kind in a small file."""
        bad = bad.fill_null(value=False)
        count = int(bad.sum())
        if not count:
            return
        names = listed(self.columns[role])
        shown = self.only(role).filter(bad).head(3).to_list()
        rows = ", ".join(str(row + 1) for row in bad.arg_true().head(5).to_list())
        found = ", ".join(clip(value) for value in shown)
        what = f"column {names} ({role}): {count:,} of {len(bad):,} rows hold {found}{', …' if count > 3 else ''}"
        if count > DOUBTFUL_SHARE * len(bad):
            raise SchemaError(f"{self.origin}: {what} (data rows {rows}{', …' if count > 5 else ''}); wanted {wanted}")
        self.notes.append(f"{what}; they are in quarantine (wanted {wanted})")
        self.reason = self.reason.set(bad & self.reason.is_null(), f"{role}: wanted {wanted}")


def read_frame(
    frame: pl.DataFrame,
    table: str,
    mapping: Columns,
    *,
    timezone: str = "UTC",
    origin: str = "frame",
) -> Batch:
    """Canonical rows of a frame in the shop's own columns.

    Args:
        frame: Any columns and types.
        table: ``events``, ``products``, ``customers`` or ``promotions``.
        mapping: Role (``roles.ROLES``) -> column, several as a list or separated by commas, or ``=value`` for a
            constant; and the keys of ``roles.OPTIONS``. ``type.buy=purchase`` names the shop's own event types.
        timezone: Clock of times without a zone, unless the mapping says another.
        origin: Named in messages.

    Raises:
        SchemaError: If a column is missing, or many rows cannot be read.
        UsageError: If the mapping names an unknown role.
    """
    columns, options = checked(mapping, frame.columns, table, origin)
    reading = _Reading(frame, table, origin, columns, options, options.get("timezone", timezone))
    made = {"events": _events, "products": _products, "customers": _customers, "promotions": _promotions}[table](
        reading
    )
    kept = reading.reason.is_null()
    doubtful = pl.DataFrame(schema=doubts.QUARANTINE)
    if not kept.all():
        row = pl.Series(range(1, len(frame) + 1)).filter(~kept)
        doubtful = doubts.quarantined(table, frame.filter(~kept), reading.reason.filter(~kept), source=origin, row=row)
    result = schema.conform(table, made)
    if table == "promotions":  # several kinds per row: rows no longer match
        return Batch(table, result, origin, doubtful=doubtful, notes=tuple(reading.notes))
    return Batch(table, result.filter(kept), origin, doubtful=doubtful, notes=tuple(reading.notes))


def checked(
    mapping: Columns, names: Sequence[str], table: str, origin: str
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Columns per role, and options; every name is known and every column is there.

    Raises:
        UsageError: If a role or option is unknown.
        SchemaError: If a column is missing from the frame, or a required role has none.
    """
    columns: dict[str, list[str]] = {}
    options: dict[str, str] = {}
    for role, value in mapping.items():
        if role in roles.OPTIONS or role.startswith("type."):
            options[role] = str(value)
            continue
        if role not in roles.ROLES[table]:
            raise UsageError(unknown_name(f"column of {table}", role, [*roles.ROLES[table], *roles.OPTIONS]))
        columns[role] = [_found(one, names, origin, role) for one in _split(value, names)]
    for role in schema.REQUIRED[table]:
        instead = role in (schema.START, schema.END) and (roles.BLOCK in columns or schema.START in columns)
        if role not in columns and not instead:
            raise SchemaError(
                f"{origin}: no column was found for {role}; the columns are {listed(list(names))}. "
                f"Say which it is: --map {role}=COLUMN"
            )
    if options.get("discount_per", "line") not in ("line", "unit"):
        raise UsageError(f"discount_per is {options['discount_per']!r}; wanted line or unit")
    if options.get("price_is", "paid") not in ("paid", "shelf"):
        raise UsageError(f"price_is is {options['price_is']!r}; wanted paid or shelf")
    return columns, options


def _split(value: str | Sequence[str], names: Sequence[str]) -> list[str]:
    if not isinstance(value, str):
        return list(value)
    if value in names or value.startswith("="):
        return [value]
    return [part.strip() for part in value.split(",") if part.strip()]


def _found(name: str, names: Sequence[str], origin: str, role: str) -> str:
    if name in names or name.startswith("="):
        return name
    alike = [one for one in names if roles.normal(one) == roles.normal(name)]
    if len(alike) == 1:
        return alike[0]
    known = unknown_name("column", name, names) if len(names) <= 30 else f"column {name!r} is missing"
    raise SchemaError(f"{origin}: {known} It was mapped to {role}; correct --map {role}=COLUMN")


def _time(reading: _Reading, role: str) -> pl.Series:
    parts = reading.every(role)
    column = parts[0]
    if len(parts) > 1:
        texts = [pl.Series(str(place), convert.text(one)) for place, one in enumerate(parts)]
        column = pl.select(pl.concat_str(texts, separator=" ")).to_series().alias("+".join(reading.columns[role]))
    form = reading.options.get("time_format")
    read = convert.time(column, timezone=reading.timezone, form=form)
    if read.note and role == schema.TIME:
        reading.notes.append(read.note)
    wanted = f"times written as {form}" if form else _wanted_time(column)
    reading.fail(read.bad, role, wanted)
    return read.values.alias(role)


def _wanted_time(column: pl.Series) -> str:
    example = "a format such as 2024-01-31 18:30:00, 31.01.2024 18:30 or seconds since 1970"
    if column.dtype != pl.Utf8:
        return example
    best, _ = convert.time_format(convert.text(column))
    return f"times as in the other rows, {best}, or say the format with --map time_format=..."


def _number(reading: _Reading, role: str) -> pl.Series:
    read = convert.number(reading.only(role), reading.options.get("decimal"))
    if read.note:
        reading.notes.append(read.note)
    reading.fail(read.bad, role, "a number")
    return read.values.alias(role)


def _discount(reading: _Reading, role: str) -> pl.Series:
    parts = []
    for name in reading.columns[role]:
        read = convert.number(reading._column(name), reading.options.get("decimal"))
        reading.fail(read.bad, role, "a number")
        parts.append(read.values.abs().fill_null(0.0))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total.alias(role)


def _events(reading: _Reading) -> pl.DataFrame:
    made: dict[str, pl.Series] = {schema.TIME: _time(reading, schema.TIME)}
    reading.fail(made[schema.TIME].is_null() & ~reading.reason.is_not_null(), schema.TIME, "a time in every row")
    for role in (
        schema.EVENT_ID,
        schema.CUSTOMER,
        schema.SESSION,
        schema.ORDER,
        schema.STORE,
        schema.PRODUCT,
        schema.REQUEST,
    ):
        if reading.has(role):
            made[role] = convert.ids(reading.only(role)).alias(role)
    for role in (schema.QUANTITY, schema.PRICE, schema.AMOUNT, schema.POSITION, schema.PROPENSITY):
        if reading.has(role):
            made[role] = _number(reading, role)
    if reading.has(schema.QUERY):
        made[schema.QUERY] = convert.text(reading.only(schema.QUERY)).alias(schema.QUERY)
    frame = pl.DataFrame(made).with_columns(_types(reading).alias(schema.TYPE))
    frame = _money(reading, frame)
    context = _context(reading)
    return frame if context is None else frame.with_columns(context.alias(schema.CONTEXT))


def _types(reading: _Reading) -> pl.Series:
    if not reading.has(schema.TYPE):
        reading.notes.append("no column tells the type of an event: every row is a purchase (--map type==view if not)")
        return pl.Series([schema.PURCHASE]).new_from_index(0, len(reading.raw))
    own = {name.removeprefix("type."): kind for name, kind in reading.options.items() if name.startswith("type.")}
    wrong = [kind for kind in own.values() if kind not in schema.EVENT_TYPES]
    if wrong:
        raise UsageError(unknown_name("event type", wrong[0], schema.EVENT_TYPES))
    column = reading.only(schema.TYPE)
    read = convert.event_type(column, own)
    ignored = convert.text(column).str.to_lowercase().is_in(sorted(convert.IGNORED)).fill_null(value=False)
    if ignored.any():
        reading.notes.append(f"{int(ignored.sum()):,} rows are of event types without use here; they are in quarantine")
        reading.reason = reading.reason.set(ignored & reading.reason.is_null(), "event type without use here")
    kinds = ", ".join(schema.EVENT_TYPES)
    reading.fail(read.bad & ~ignored, schema.TYPE, f"one of {kinds}, or --map type.THEIRS=OURS")
    return read.values


def _money(reading: _Reading, frame: pl.DataFrame) -> pl.DataFrame:
    """Signs, amounts, prices and discounts. A negative quantity is a return: type refund, with positive numbers."""
    for name in (schema.QUANTITY, schema.PRICE, schema.AMOUNT):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias(name))
    quantity, price, amount = pl.col(schema.QUANTITY), pl.col(schema.PRICE), pl.col(schema.AMOUNT)
    buying = pl.col(schema.TYPE).is_in([schema.PURCHASE, schema.REFUND])
    returned = buying & (
        (quantity < 0) | (quantity.is_null() & (amount < 0) & (pl.col(schema.TYPE) == schema.PURCHASE))
    )
    returned |= buying & (quantity > 0) & (amount < 0) & (price.is_null() | (price >= 0))
    frame = frame.with_columns(returned.fill_null(value=False).alias("__returned"))
    back = pl.col("__returned")
    count = int(frame["__returned"].sum())
    if count:
        reading.notes.append(f"{count:,} rows with a negative quantity or amount are returns (type refund)")
    frame = frame.with_columns(
        pl.when(back).then(pl.lit(schema.REFUND)).otherwise(pl.col(schema.TYPE)).alias(schema.TYPE),
        pl.when(back).then(quantity.abs()).otherwise(quantity).alias(schema.QUANTITY),
        pl.when(back).then(amount.abs()).otherwise(amount).alias(schema.AMOUNT),
        pl.when(back).then(price.abs()).otherwise(price).alias(schema.PRICE),
    )
    if reading.has(schema.QUANTITY):
        frame = frame.with_columns(quantity.fill_null(1.0))
    else:
        frame = frame.with_columns(pl.when(buying).then(1.0).alias(schema.QUANTITY))
    frame = _discounted(reading, frame)
    for name in (schema.PRICE, schema.AMOUNT):
        negative = (frame[name] < 0).fill_null(value=False) & reading.reason.is_null()
        if reading.has(name):
            reading.fail(negative, name, "no negative value; returns have a negative quantity or the type refund")
    return frame.drop("__returned")


def _discounted(reading: _Reading, frame: pl.DataFrame) -> pl.DataFrame:
    quantity, price, amount = pl.col(schema.QUANTITY), pl.col(schema.PRICE), pl.col(schema.AMOUNT)
    discount = pl.lit(None, dtype=pl.Float64)
    if reading.has(schema.DISCOUNT):
        total = pl.lit(_discount(reading, schema.DISCOUNT))
        per_line = reading.options.get("discount_per", "line") == "line"
        discount = pl.when(quantity > 0).then(total / quantity) if per_line else total
    frame = frame.with_columns(discount.alias(schema.DISCOUNT))
    if reading.options.get("price_is") == "shelf":
        frame = frame.with_columns((price - pl.col(schema.DISCOUNT).fill_null(0.0)).clip(0.0))
    paid = pl.when(quantity > 0).then(amount / quantity)
    return frame.with_columns(
        pl.coalesce(price, paid).alias(schema.PRICE), pl.coalesce(amount, price * quantity).alias(schema.AMOUNT)
    )


def _context(reading: _Reading) -> pl.Series | None:
    columns = {name: reading._column(name) for name in reading.columns.get(schema.CONTEXT, [])}
    if reading.has(roles.COUPON):
        coupon = _discount(reading, roles.COUPON)
        columns[roles.COUPON] = coupon.set(coupon == 0, None)
    return convert.json_object(columns) if columns else None


def _products(reading: _Reading) -> pl.DataFrame:
    made = {schema.PRODUCT: convert.ids(reading.only(schema.PRODUCT)).alias(schema.PRODUCT)}
    made |= product_fields(reading.columns, reading._column)
    if reading.has(schema.PRICE):
        made[schema.PRICE] = _number(reading, schema.PRICE)
        reading.fail(made[schema.PRICE] < 0, schema.PRICE, "no negative price")
    if reading.has(schema.CREATED):
        made[schema.CREATED] = _time(reading, schema.CREATED)
    reading.fail(made[schema.PRODUCT].is_null(), schema.PRODUCT, "an id in every row")
    return pl.DataFrame(made)


def product_fields(columns: Mapping[str, Sequence[str]], column: object) -> dict[str, pl.Series]:
    """Title, description, category, brand, image and attributes, of a catalogue or of lines that name them."""
    assert callable(column)
    made: dict[str, pl.Series] = {}
    for role in (schema.TITLE, schema.DESCRIPTION, schema.BRAND, schema.IMAGE):
        if role in columns:
            parts = [convert.text(column(name)).alias(name) for name in columns[role]]
            joined = pl.DataFrame(parts).select(
                pl.concat_str(pl.all(), separator=", ", ignore_nulls=True).replace("", None)
            )
            made[role] = joined.to_series().alias(role)
    if schema.CATEGORY in columns:
        made[schema.CATEGORY] = convert.category([column(name) for name in columns[schema.CATEGORY]]).alias(
            schema.CATEGORY
        )
    if schema.ATTRIBUTES in columns:
        named = {name: column(name) for name in columns[schema.ATTRIBUTES]}
        made[schema.ATTRIBUTES] = convert.json_object(named).alias(schema.ATTRIBUTES)
    return made


def _customers(reading: _Reading) -> pl.DataFrame:
    made = {schema.CUSTOMER: convert.ids(reading.only(schema.CUSTOMER)).alias(schema.CUSTOMER)}
    if reading.has(schema.ATTRIBUTES):
        named = {name: reading._column(name) for name in reading.columns[schema.ATTRIBUTES]}
        made[schema.ATTRIBUTES] = convert.json_object(named).alias(schema.ATTRIBUTES)
    if reading.has(schema.CREATED):
        made[schema.CREATED] = _time(reading, schema.CREATED)
    reading.fail(made[schema.CUSTOMER].is_null(), schema.CUSTOMER, "an id in every row")
    return pl.DataFrame(made)


def _promotions(reading: _Reading) -> pl.DataFrame:
    made = {schema.PRODUCT: convert.ids(reading.only(schema.PRODUCT)).alias(schema.PRODUCT)}
    if reading.has(schema.STORE):
        made[schema.STORE] = convert.ids(reading.only(schema.STORE)).alias(schema.STORE)
    if reading.has(roles.BLOCK):
        made |= _block_times(reading)
    else:
        made[schema.START] = _time(reading, schema.START)
        made[schema.END] = _end(reading, made[schema.START])
    if reading.has(schema.KIND):
        made[schema.KIND] = convert.text(reading.only(schema.KIND)).alias(schema.KIND)
    shares = reading.columns.get(schema.SHARE, [])
    frame = pl.DataFrame(made).filter(reading.reason.is_null())
    if not shares:
        return frame.with_columns(pl.lit(1.0).alias(schema.SHARE))
    parts = []
    for name in shares:
        value = _share(reading, name).filter(reading.reason.is_null())
        kind = roles.words(name)
        named = (
            frame
            if reading.has(schema.KIND)
            else frame.with_columns(
                pl.lit("_".join(word for word in kind if word != "share") or "promotion").alias(schema.KIND)
            )
        )
        parts.append(named.with_columns(value.alias(schema.SHARE)).filter(pl.col(schema.SHARE) > 0))
    return pl.concat(parts)


def _share(reading: _Reading, name: str) -> pl.Series:
    """A share of stores from 0 to 1; percents are divided by 100, and a little above 1 (stores counted twice) is 1."""
    values = convert.number(reading._column(name), reading.options.get("decimal")).values
    middle = values.filter(values > 0).median()
    if isinstance(middle, float) and middle > 1:
        reading.notes.append(f"{name} is in percent")
        values = values / 100.0
    return values.set((values > 1).fill_null(value=False), 1.0)


def _end(reading: _Reading, start: pl.Series) -> pl.Series:
    """The end of promotions, exclusive; a plan written in days counts its last day in."""
    if not reading.has(schema.END):
        return start.dt.offset_by(f"{7 * 24}h").alias(schema.END)
    end = _time(reading, schema.END)
    local = end.dt.replace_time_zone("UTC").dt.convert_time_zone(reading.timezone)
    if (local == local.dt.truncate("1d")).all():
        reading.notes.append("promotions end with the end of their last day")
        end = local.dt.offset_by("1d").dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return end.alias(schema.END)


def _block_times(reading: _Reading) -> dict[str, pl.Series]:
    origin = reading.options.get("block_origin")
    if origin is None:
        raise UsageError("the plan counts in blocks; say when block 0 starts: --map block_origin=2024-01-01T00:00:00")
    try:
        moment, days = datetime.fromisoformat(origin), float(reading.options.get("block_days", "7"))
    except ValueError as error:
        raise UsageError(f"block_origin or block_days cannot be read: {error}") from error
    block = _number(reading, roles.BLOCK)
    length = timedelta(days=days)
    start = pl.select(pl.lit(moment).cast(schema.STAMP) + pl.lit(block) * length).to_series()
    return {schema.START: start.alias(schema.START), schema.END: (start + length).alias(schema.END)}
