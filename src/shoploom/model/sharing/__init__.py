"""How the tasks of one sample space share a trunk, behind one interface (``base.Sharing``)."""

from __future__ import annotations

from shoploom.plugins import PluginTable

SHARING = PluginTable(
    "sharing scheme",
    "shoploom.sharing",
    {
        "none": "shoploom.model.sharing.none:NoSharing",
        "shared_bottom": "shoploom.model.sharing.shared_bottom:SharedBottom",
        "mmoe": "shoploom.model.sharing.mmoe:MMoE",
        "ple": "shoploom.model.sharing.ple:PLE",
        "stem": "shoploom.model.sharing.stem:STEM",
    },
)
