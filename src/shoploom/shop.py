"""``Shop``: everything from raw tables to answers in a few lines of Python.

Example:
    >>> from shoploom import Shop
    >>> shop = Shop.create("my-shop", currency="EUR", timezone="Europe/Paris")  # doctest: +SKIP
    >>> shop.import_files("orders.csv")  # doctest: +SKIP
    >>> shop.train(size="small")  # doctest: +SKIP
    >>> shop.recommend("customer 42", k=5)  # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoploom.config import Config, TrainConfig
from shoploom.errors import ConfigError, NotReadyError, unknown_name
from shoploom.registry import Registry

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from shoploom.data.quality import QualityReport
    from shoploom.data.sources.importing import ImportResult
    from shoploom.data.workspace import Workspace
    from shoploom.inference.catalogue import Filters
    from shoploom.inference.engine import Engine
    from shoploom.inference.lists import Lists
    from shoploom.inference.rerank import Wishes
    from shoploom.pipeline import Progress, TrainResult


class Shop:
    """A workspace with everything that can be done with it.

    Args:
        workspace: The opened directory.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.registry = Registry(workspace.models_dir)

    @classmethod
    def create(cls, path: str | Path, *, name: str = "", currency: str = "USD", timezone: str = "UTC") -> Shop:
        """A new, empty shop in a directory.

        Raises:
            WorkspaceError: If there is one already.
            ConfigError: If the time zone is unknown.
        """
        from shoploom.config import ShopConfig
        from shoploom.data.workspace import Workspace

        folder = Path(path)
        title = name or folder.resolve().name
        return cls(Workspace.init(folder, Config(shop=ShopConfig(name=title, currency=currency, timezone=timezone))))

    @classmethod
    def open(cls, path: str | Path = ".") -> Shop:
        """The shop in a directory.

        Raises:
            WorkspaceError: If there is none.
        """
        from shoploom.data.workspace import Workspace

        return cls(Workspace.open(Path(path)))

    @property
    def config(self) -> Config:
        """What ``shoploom.toml`` says."""
        return self.workspace.config

    @cached_property
    def engine(self) -> Engine:
        """The champion in memory, loaded on first use."""
        from shoploom.inference.engine import Engine

        return Engine.load(self.workspace)

    @cached_property
    def _lists(self) -> Lists:
        from shoploom.inference.lists import Lists

        return Lists(self.engine)

    def import_files(
        self,
        *paths: str | Path,
        table: str | None = None,
        mapping: Mapping[str, str] | None = None,
        currency: str | None = None,
        timezone: str | None = None,
    ) -> ImportResult:
        """Bring CSV, JSONL or Parquet files in; what is there already is not added again.

        Args:
            *paths: The files.
            table: What they hold: products, customers, events or promotions; found by the columns if None.
            mapping: Our column name to the shop's, where the names do not tell.
            currency: ISO 4217 code of the amounts, if not set yet.
            timezone: IANA name of the shop's clock, if not set yet.

        Raises:
            SchemaError: If a column is missing or holds what it must not hold.
        """
        from shoploom.data.sources.importing import import_source

        return import_source(
            self.workspace, "files", paths=paths, table=table, mapping=mapping, currency=currency, timezone=timezone
        )

    def import_source(self, name: str) -> ImportResult:
        """Bring in a source that is known by name, such as ``complete_journey``."""
        from shoploom.data.sources.importing import import_source

        return import_source(self.workspace, name)

    def check(self) -> QualityReport:
        """The quality gate's findings; ``worst`` is their highest severity. They are also written to ``reports/``."""
        from shoploom.data.quality import check

        report = check(self.workspace)
        report.write(self.workspace.reports_dir)
        return report

    def train(
        self, *, progress: Progress | None = None, resume: bool = True, promote: bool = False, **overrides: Any
    ) -> TrainResult:
        """Train the shared model and its rivals, evaluate, refit and publish a version.

        The quality gate comes first: an error there stops.

        Args:
            progress: Is told how far the training is.
            resume: Whether a killed training of the same data and configuration goes on.
            promote: Whether the new version serves at once; the first one always does.
            **overrides: Keys of ``[train]``, for example ``size="tiny"``.

        Raises:
            QualityError: If the gate finds an error; the message names each with its fix.
        """
        from shoploom.pipeline import train

        config = self.config.to_dict()
        known = [one.name for one in dataclasses.fields(TrainConfig)]
        for name in overrides:
            if name not in known:
                raise ConfigError(unknown_name("key of [train]", name, known))
        config["train"] |= overrides
        self.check().require()
        result = train(self.workspace, Config.from_dict(config), progress=progress, resume=resume)
        if promote:
            self.promote(result.version)
        return result

    def evaluate(self, version: str | None = None) -> dict[str, Any]:
        """The evaluation report of a version, by default the newest, with its name under ``version``.

        Raises:
            NotReadyError: If nothing was trained yet.
        """
        name = version or self.newest()
        return {**self.registry.report(name), "version": name}

    def recommend(self, customer: str, k: int = 20, **options: Any) -> list[dict[str, Any]]:
        """The ``k`` products for a customer's next visit, each with id, title, score and reasons."""
        from shoploom.apps.recommend import recommend

        items: list[dict[str, Any]] = recommend(self._current(), customer, k=k, **options)["items"]
        return items

    def listed(
        self,
        kind: str,
        *names: str,
        k: int = 20,
        filters: Filters | None = None,
        at: datetime | None = None,
        wishes: Wishes | None = None,
        request_id: str | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """A list for one of the shop's pages, by the standing rules: ``shop.listed("also_bought", "4711", k=5)``.

        Args:
            kind: ``also_bought``, ``basket``, ``session``, ``buy_again``, ``new_for_you``, ``category``,
                ``new_arrivals``, ``segment`` or ``promoted``.
            *names: Products, a customer or a category, by kind.
            k: Length of the list.
            filters: Category, stock, products to leave out.
            at: Moment of the visit; now if None.
            wishes: Rules beside the standing ones, and settings.
            request_id: What exploration is drawn from.
            **options: ``customer_id``, ``session_id``, ``attribute``, ``value``, ``days``, ``due_only``, by kind.

        Raises:
            UsageError: If the kind needs other names, or a rule cannot be kept.
        """
        from shoploom.apps import lists

        self._current()
        ask = lists.asked(k=k, filters=filters, at=at, wishes=wishes, request_id=request_id)
        items: list[dict[str, Any]] = lists.answer(self._lists, kind, names, ask, **options)["items"]
        return items

    def predict(self, task: str, ids: Sequence[str] | None = None, *, k: int = 20) -> pl.DataFrame:
        """One task's answers for all customers or products, or for those named."""
        from shoploom.inference.batch import predict_all

        return predict_all(self._current().current, task, ids, k=k)

    def promote(self, version: str | None = None) -> str:
        """Let a version serve, by default the newest; returns its name."""
        name = version or self.newest()
        self.registry.promote(name)
        return name

    def rollback(self) -> str:
        """Let the version serve that served before; returns its name."""
        return self.registry.rollback()

    def serve(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        max_ms: float | None = None,
        started: Callable[[str], None] | None = None,
    ) -> None:
        """Serve API and dashboard until interrupted.

        Args:
            host: Address to bind; from ``[serve]`` of the configuration if None.
            port: TCP port; likewise.
            max_ms: Milliseconds that an ensemble may take per answer, 0 for no limit; likewise.
            started: Is called with the address once the model is loaded.
        """
        from shoploom.serving.server import serve

        serve(self.workspace, host=host, port=port, max_ms=max_ms, started=started)

    def newest(self) -> str:
        """The version that was published last.

        Raises:
            NotReadyError: If nothing was trained yet.
        """
        versions = self.registry.versions()
        if not versions:
            raise NotReadyError(f"{self.workspace.path} has no trained model yet; run `shoploom train`")
        return versions[-1].name

    def _current(self) -> Engine:
        self.engine.follow_champion()
        return self.engine
