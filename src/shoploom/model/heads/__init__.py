"""Heads by shape of answer and sample space; a task of a known shape needs no new one."""

from __future__ import annotations

from shoploom.plugins import PluginTable

HEADS = PluginTable(
    "head",
    "shoploom.heads",
    {
        "customer/binary": "shoploom.model.heads.customer:BinaryHead",
        "customer/amount": "shoploom.model.heads.customer:AmountHead",
        "customer/classes": "shoploom.model.heads.wide_classes:WideClassesHead",
        "customer/ranking": "shoploom.model.heads.ranking:RankingHead",
        "product/quantiles": "shoploom.model.heads.product:PriceHead",
        "product/classes": "shoploom.model.heads.classes:ClassesHead",
        "block/quantiles": "shoploom.model.heads.demand:DemandHead",
    },
)
