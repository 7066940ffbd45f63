"""The routes, one file per topic; each parses, calls one function in ``apps`` and answers."""

from __future__ import annotations

from fastapi import APIRouter

from shoploom.serving.routes import (
    customers,
    ensemble,
    events,
    explain,
    health,
    lists,
    models,
    predictions,
    products,
    recommend,
)

ROUTERS: tuple[APIRouter, ...] = (
    recommend.ROUTER,
    explain.ROUTER,
    lists.ROUTER,
    customers.ROUTER,
    products.ROUTER,
    predictions.ROUTER,
    events.ROUTER,
    models.ROUTER,
    ensemble.ROUTER,
    health.ROUTER,
)
