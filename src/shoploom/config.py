"""Configuration: one small frozen dataclass per stage, read from ``shoploom.toml``; nothing else reads TOML.

The order is: defaults < file < ``section.key=value`` on the command line. An unknown key is an error.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shoploom.errors import ConfigError, unknown_name

SIZES = ("tiny", "small", "base")
DEVICES = ("auto", "cpu", "cuda")
DIVERSITY_METHODS = ("mmr", "dpp")
RULES = ("filter", "boost", "bury", "pin", "cap", "exclude")
EXCLUSIONS = ("bought", "out_of_stock")


@dataclass(frozen=True)
class ShopConfig:
    """What the shop is.

    Args:
        name: Shown in reports and on the dashboard.
        currency: ISO 4217 code of all amounts.
        timezone: IANA name; stored times are UTC, days and weeks are counted on this clock.
    """

    name: str = "shop"
    currency: str = "USD"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(f"shop.timezone {self.timezone!r} is unknown; use an IANA name, Europe/London") from error
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise ConfigError(f"shop.currency {self.currency!r} is no ISO 4217 code; those are three capitals, EUR")


@dataclass(frozen=True)
class CleaningConfig:
    """Which event rows count. Rows are flagged, never dropped.

    A *purchase* counts for customers (baskets, churn, spend); *goods* count for products (demand, new products).

    Args:
        goods_quantity: Smallest and largest plausible quantity of a goods row; ``()`` means: found from the data.
        exclude_categories: Category names (any level) that are no merchandise: fuel, vouchers, fees.
        detect_services: Also find service codes (postage, fees) by ids unlike all others.
        product_pattern: Regular expression that product ids of merchandise match; empty: any.
        positive_price: Whether goods need a price above 0.
        purchases_are_goods: Whether only goods rows count as purchases; otherwise every purchase row does.
        price_quantity: Largest quantity of a row from which a shelf price is read; 0: no limit.
        price_range: Prices outside are left out of the price task.
        anonymous_ids: Customer ids that mean "unknown".
    """

    goods_quantity: tuple[float, ...] = ()
    exclude_categories: tuple[str, ...] = ()
    detect_services: bool = True
    product_pattern: str = ""
    positive_price: bool = True
    purchases_are_goods: bool = True
    price_quantity: float = 20.0
    price_range: tuple[float, ...] = (0.05, 100000.0)
    anonymous_ids: tuple[str, ...] = ("", "0", "nan", "null", "none")

    def __post_init__(self) -> None:
        if self.goods_quantity:
            _range("cleaning.goods_quantity", self.goods_quantity)
        _range("cleaning.price_range", self.price_range)
        try:
            re.compile(self.product_pattern)
        except re.error as error:
            raise ConfigError(
                f"cleaning.product_pattern {self.product_pattern!r} is no regular expression ({error}); "
                "wanted one such as '[0-9]+', or '' for any id"
            ) from error


@dataclass(frozen=True)
class ClockConfig:
    """The horizon that all tasks predict.

    Args:
        horizon_days: Length of the horizon.
        block_days: Length of a demand block; blocks are counted from the moment of prediction.
        active_days: Customers with a purchase in so many days are asked for churn and spend.
        demand_products: How many best sellers the demand task is judged on.
        demand_days: Days in which best sellers are counted.
    """

    horizon_days: int = 56
    block_days: int = 7
    active_days: int = 90
    demand_products: int = 1000
    demand_days: int = 182

    def __post_init__(self) -> None:
        for name in ("horizon_days", "block_days", "active_days", "demand_products", "demand_days"):
            _at_least(f"clock.{name}", getattr(self, name), 1)
        if self.horizon_days < self.block_days or self.horizon_days % self.block_days:
            raise ConfigError(
                f"clock.horizon_days is {self.horizon_days}; it must be a multiple of clock.block_days "
                f"({self.block_days}), such as {max(1, self.horizon_days // self.block_days) * self.block_days}"
            )

    @property
    def num_blocks(self) -> int:
        """Number of demand blocks in the horizon."""
        return self.horizon_days // self.block_days


@dataclass(frozen=True)
class TrainConfig:
    """How the shared model is trained.

    Args:
        size: ``tiny``, ``small`` or ``base``: sets widths and depths.
        tasks: Names of the tasks to train; empty: all that the data can feed.
        seed: Seed of everything random.
        device: ``auto``, ``cpu`` or ``cuda``.
        epochs: Passes over the customers, at most; 0: a number of steps by size, whatever the size of the shop.
        patience: Validations without a better score before training stops.
        batch_size: Examples per task and step. 0: by size.
        learning_rate: Peak of AdamW's schedule.
        weight_decay: Of AdamW.
        dropout: In all blocks.
        augment: Share of a customer's visits that are hidden at random while learning, in each step others.
        imbalance: How far rare classes are lifted: 0 not at all, 1 until all are alike.
        refit: Whether the champion is trained on, with the validation period, after evaluation.
        max_ms: Milliseconds of one core that an ensemble of rankings may take per answer; it chooses the members.
        sharing: How the tasks of a sample space share a trunk; key of ``model.sharing.SHARING``.
        sharing_options: Numbers of the scheme, such as ``{num = 8}``.
        balancing: How the losses of the tasks become one step; key of ``model.balancing.BALANCING``.
        balancing_options: Numbers of the method, such as ``{alpha = 0.5}``.
        weights: Loss weight by task for ``balancing = "static"``; 1 where missing.
    """

    size: str = "small"
    tasks: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    epochs: int = 0
    patience: int = 2
    batch_size: int = 0
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    dropout: float = 0.1
    augment: float = 0.0
    imbalance: float = 0.6
    refit: bool = True
    max_ms: float = 15.0
    sharing: str = "shared_bottom"
    sharing_options: Mapping[str, float] = field(default_factory=dict)
    balancing: str = "static"
    balancing_options: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ConfigError(unknown_name("train.size", self.size, SIZES))
        if self.device not in DEVICES:
            raise ConfigError(unknown_name("train.device", self.device, DEVICES))
        for name in ("seed", "epochs", "batch_size", "patience"):
            _at_least(f"train.{name}", getattr(self, name), 0)
        if not self.learning_rate > 0:
            raise ConfigError(f"train.learning_rate is {self.learning_rate}; wanted a number above 0, such as 0.003")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"train.dropout is {self.dropout}; wanted 0 or more and less than 1, such as 0.1")
        if not 0 <= self.augment < 1:
            raise ConfigError(f"train.augment is {self.augment}; wanted 0 or more and less than 1, such as 0.1")
        if not 0 <= self.imbalance <= 1:
            raise ConfigError(f"train.imbalance is {self.imbalance}; wanted 0 (as they are) to 1 (all alike)")
        if not 0 < self.max_ms < math.inf:
            raise ConfigError(f"train.max_ms is {self.max_ms}; wanted milliseconds above 0, such as 15")
        for name in ("sharing_options", "balancing_options", "weights"):
            for key, value in getattr(self, name).items():
                if not math.isfinite(value):
                    raise ConfigError(f"train.{name}.{key} is {value}; wanted a finite number")
        if self.weights and self.balancing != "static":
            raise ConfigError(
                f"train.weights fixes the weights of {', '.join(self.weights)}, and train.balancing is "
                f'{self.balancing!r}, which finds its own; leave one of them out (balancing = "static" takes weights)'
            )


@dataclass(frozen=True)
class RuleConfig:
    """One table of ``[[recommend.rules]]``: exactly one of the six kinds, and the number that belongs to it.

    Args:
        filter: Expression that every product must fulfil.
        boost: Expression whose products move up by ``factor``.
        bury: Expression whose products move down by ``factor``.
        pin: Id of a product that stands at ``position``, counted from 1.
        cap: Column of whose values at most ``most`` products are shown each.
        exclude: ``bought`` or ``out_of_stock``.
    """

    filter: str = ""
    boost: str = ""
    bury: str = ""
    pin: str = ""
    cap: str = ""
    exclude: str = ""
    factor: float = 0.0
    position: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        given = [name for name in RULES if getattr(self, name)]
        if len(given) != 1:
            raise ConfigError(f"wanted exactly one of {', '.join(RULES)}; found {' and '.join(given) or 'none'}")
        number = {"boost": "factor", "bury": "factor", "pin": "position", "cap": "most"}.get(given[0])
        for name in ("factor", "position", "most"):
            if bool(getattr(self, name)) != (name == number):
                wanted = f"needs {name}" if name == number else f"has no {name}"
                raise ConfigError(f"a rule with {given[0]} {wanted}")
        if self.exclude and self.exclude not in EXCLUSIONS:
            raise ConfigError(unknown_name("exclude", self.exclude, EXCLUSIONS))


@dataclass(frozen=True)
class RecommendConfig:
    """How ranked lists are arranged before they are shown; a request may say otherwise.

    Args:
        diversity: 0 keeps the ranking, 1 looks at nothing but how different the products are.
        method: How diversity is weighed: ``mmr`` or ``dpp``.
        freshness: How far a product of today moves up: by 1 + freshness, like a boost; 0: not at all.
        half_life_days: Age at which that is half as much.
        explore: Probability of each place to show a product from further down the list.
        rules: What always holds.
    """

    diversity: float = 0.0
    method: str = "mmr"
    freshness: float = 0.0
    half_life_days: float = 30.0
    explore: float = 0.0
    rules: tuple[RuleConfig, ...] = ()

    def __post_init__(self) -> None:
        for name in ("diversity", "explore"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"recommend.{name} is {getattr(self, name)}; wanted a number from 0 to 1")
        if self.method not in DIVERSITY_METHODS:
            raise ConfigError(unknown_name("recommend.method", self.method, DIVERSITY_METHODS))
        if not 0 <= self.freshness <= 100:
            raise ConfigError(f"recommend.freshness is {self.freshness}; wanted a number from 0 to 100, such as 0.5")
        if not 0 < self.half_life_days <= 36500:
            raise ConfigError(
                f"recommend.half_life_days is {self.half_life_days}; wanted days above 0, at most 36500, such as 30"
            )


@dataclass(frozen=True)
class ServeConfig:
    """The service.

    Args:
        host: Address to bind; anything but loopback needs an API key.
        port: TCP port.
        requests_per_minute: Rate limit per client; 0: none.
        max_body_bytes: Larger requests are refused with 413.
        max_ms: Milliseconds that an ensemble of rankings may take per answer; 0: as long as its members take.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    requests_per_minute: int = 0
    max_body_bytes: int = 8_000_000
    max_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"serve.port is {self.port}; wanted a number from 1 to 65535, such as 8000")
        if not 0 <= self.max_ms < math.inf:
            raise ConfigError(f"serve.max_ms is {self.max_ms}; wanted milliseconds, such as 10, or 0 for no limit")


@dataclass(frozen=True)
class Config:
    """Everything in ``shoploom.toml``.

    Args:
        mapping: Per imported table, our column name -> the shop's.
    """

    shop: ShopConfig = field(default_factory=ShopConfig)
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)
    clock: ClockConfig = field(default_factory=ClockConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    recommend: RecommendConfig = field(default_factory=RecommendConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    mapping: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, overrides: Sequence[str] = ()) -> Config:
        """Defaults, then the file if it exists, then ``section.key=value`` overrides.

        Raises:
            ConfigError: If the file is no TOML, a key is unknown, or a value has the wrong type.
        """
        raw: dict[str, Any] = {}
        if path.exists():
            try:
                raw = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{path} is not valid TOML: {error}") from error
            except OSError as error:
                raise ConfigError(f"{path} cannot be read ({error.strerror}); it must be a text file") from error
        for override in overrides:
            _override(raw, override)
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Config:
        """The typed configuration of a nested dict, as TOML or JSON gives it."""
        sections: dict[str, Any] = {}
        kinds = typing.get_type_hints(cls)
        for name, values in raw.items():
            if name not in kinds:
                raise ConfigError(unknown_name("section of shoploom.toml", name, kinds))
            if not isinstance(values, Mapping):
                raise ConfigError(f"{name} = {values!r} stands outside a section; write [{name}] and keys below it")
            sections[name] = _mapping(values) if name == "mapping" else _section(name, kinds[name], values)
        return cls(**sections)

    def to_dict(self) -> dict[str, Any]:
        """A nested dict that ``from_dict`` reads back."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """The file as text: every section, values that differ from the defaults, others as comments."""
        lines = ["# Configuration of this shop; a commented line shows a default.", ""]
        default = Config()
        for section in ("shop", "cleaning", "clock", "train", "recommend", "serve"):
            lines.append(f"[{section}]")
            for name, value in dataclasses.asdict(getattr(self, section)).items():
                if section == "recommend" and name == "rules" and value:
                    continue
                mark = "" if value != getattr(getattr(default, section), name) or section == "shop" else "# "
                lines.append(f"{mark}{name} = {_toml(value)}")
            lines.append("")
            if section == "recommend":
                lines.extend(line for rule in self.recommend.rules for line in _rule_lines(rule))
        for table, columns in self.mapping.items():
            lines.append(f"[mapping.{table}]")
            lines.extend(f"{name} = {_toml(column)}" for name, column in columns.items())
            lines.append("")
        return "\n".join(lines)


def _mapping(tables: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    for table, columns in tables.items():
        if not isinstance(columns, Mapping) or not all(isinstance(one, str) for one in columns.values()):
            raise ConfigError(
                f"mapping.{table} is {columns!r}; wanted a section [mapping.{table}] with lines such as "
                'customer_id = "CustomerID"'
            )
    return tables


def _rule_lines(rule: RuleConfig) -> list[str]:
    told = {name: value for name, value in dataclasses.asdict(rule).items() if value}
    return ["[[recommend.rules]]", *(f"{name} = {_toml(value)}" for name, value in told.items()), ""]


def _range(name: str, values: tuple[float, ...]) -> None:
    if len(values) != 2 or not values[0] <= values[1]:
        raise ConfigError(f"{name} is {list(values)}; wanted a smaller and a larger number, such as [0.05, 100000.0]")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name} is {value}; wanted {least} or more")


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"{override!r} is no override; write section.key=value, for example train.seed=1")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    raw.setdefault(section, {})[name] = value


def _section(section: str, kind: type[Any], values: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise ConfigError(unknown_name(f"key of [{section}]", name, hints))
    return kind(**{name: _typed(f"{section}.{name}", hints[name], value) for name, value in values.items()})


def _tables(name: str, kind: Any, values: Any) -> tuple[Any, ...]:
    """An array of tables; an error says in which of them it is."""
    if not isinstance(values, list | tuple) or not all(isinstance(one, Mapping) for one in values):
        raise ConfigError(f"{name} is {values!r}; write one or more tables [[{name}]] with keys below each")
    found = []
    for number, one in enumerate(values, start=1):
        try:
            found.append(_section(name, kind, one))
        except ConfigError as error:
            raise ConfigError(f"[[{name}]] number {number}: {error}") from error
    return tuple(found)


def _typed(name: str, kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        if dataclasses.is_dataclass(inner):
            return _tables(name, inner, value)
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name} is {value!r}; wanted a list, such as [{_toml(value)}]")
        return tuple(_typed(name, inner, one) for one in value)
    if typing.get_origin(kind) is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} is {value!r}; wanted a table such as {{ churn = 2.0 }}")
        inner = typing.get_args(kind)[1]
        return {key: _typed(f"{name}.{key}", inner, one) for key, one in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{name} is {value!r}, a {type(value).__name__}; wanted {kind.__name__}")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return repr(value)


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _toml(name)
