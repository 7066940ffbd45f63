"""The funnel's network: bodies read an impression, objectives turn it into coherent probabilities and a loss.

Both are open tables: one file and one line each.
"""

from __future__ import annotations

from shoploom.plugins import PluginTable

OBJECTIVES = PluginTable(
    "funnel objective",
    "shoploom.funnel_objectives",
    {
        "esmm": "shoploom.model.funnel.esmm:Esmm",
        "escm2_ips": "shoploom.model.funnel.escm2:Escm2Ips",
        "escm2_dr": "shoploom.model.funnel.escm2:Escm2Dr",
        "aitm": "shoploom.model.funnel.aitm:Aitm",
    },
)
BODIES = PluginTable(
    "funnel body",
    "shoploom.funnel_bodies",
    {
        "linear": "shoploom.model.funnel.bodies:Linear",
        "mlp": "shoploom.model.funnel.bodies:Mlp",
        "deepfm": "shoploom.model.funnel.bodies:DeepFm",
        "dcn": "shoploom.model.funnel.bodies:DcnV2",
    },
)
