"""How the tasks of one sample space share a trunk, behind one interface."""

from __future__ import annotations

from shoploom.plugins import PluginTable

SHARING = PluginTable(
    "sharing scheme",
    "shoploom.sharing",
    {"shared_bottom": "shoploom.model.sharing.shared_bottom:SharedBottom"},
)
