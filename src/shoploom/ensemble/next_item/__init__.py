"""Members that say which item comes next in a sequence: one file and one line each."""

from __future__ import annotations

from shoploom.plugins import PluginTable

NEXT_ITEM = PluginTable(
    "next-item member",
    "shoploom.next_item",
    {
        "popular": "shoploom.ensemble.next_item.popular:Popular",
        "markov": "shoploom.ensemble.next_item.markov:Markov",
        "item_knn": "shoploom.ensemble.next_item.item_knn:ItemKnn",
        "session_knn": "shoploom.ensemble.next_item.session_knn:SessionKnn",
        "ease": "shoploom.ensemble.next_item.ease:Ease",
        "network": "shoploom.ensemble.next_item.network:Network",
    },
)
