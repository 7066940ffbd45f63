"""Click models: which places of a page are examined. One file each."""

from __future__ import annotations

from shoploom.plugins import PluginTable

CLICK_MODELS = PluginTable(
    "click model",
    "shoploom.click_models",
    {
        "position": "shoploom.simulation.click_models.position:PositionBased",
        "cascade": "shoploom.simulation.click_models.cascade:Cascade",
    },
)
