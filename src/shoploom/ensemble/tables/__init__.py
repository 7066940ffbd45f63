"""Members that say which class a row of a table has, for all labels at once: one file and one line each."""

from __future__ import annotations

from shoploom.plugins import PluginTable

TABLES = PluginTable(
    "table member",
    "shoploom.tables",
    {
        "most_frequent": "shoploom.ensemble.tables.most_frequent:MostFrequent",
        "linear": "shoploom.ensemble.tables.linear:Linear",
        "lightgbm": "shoploom.ensemble.tables.lightgbm:Lightgbm",
        "random_forest": "shoploom.ensemble.tables.random_forest:RandomForest",
        "network": "shoploom.ensemble.tables.network:Network",
    },
)

SERVING = ("most_frequent", "linear", "lightgbm", "network")
"""Those that are fused by default. The random forest takes as long as all of them and their blend gives it no weight
(visits: .017 of .98; ratings and recommendations of reviews: 0)."""
