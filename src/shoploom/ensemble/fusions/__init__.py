"""Ways of making one ranking of several members' lists: one file and one line each."""

from __future__ import annotations

from shoploom.plugins import PluginTable

FUSIONS = PluginTable(
    "fusion",
    "shoploom.fusions",
    {
        "selection": "shoploom.ensemble.fusions.selection:Selection",
        "voting": "shoploom.ensemble.fusions.voting:Voting",
        "rank_average": "shoploom.ensemble.fusions.rank_average:RankAverage",
        "weighted": "shoploom.ensemble.fusions.weighted:Weighted",
        "gate": "shoploom.ensemble.fusions.gate:Gate",
        "stacking": "shoploom.ensemble.fusions.stacking:Stacking",
    },
)
