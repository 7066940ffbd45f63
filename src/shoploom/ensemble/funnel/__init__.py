"""Members that say how far an impression will get: one file and one line each."""

from __future__ import annotations

from shoploom.plugins import PluginTable

FUNNEL = PluginTable(
    "funnel member",
    "shoploom.funnel",
    {
        "rates": "shoploom.ensemble.funnel.rates:Rates",
        "logistic": "shoploom.ensemble.funnel.logistic:Logistic",
        "lightgbm": "shoploom.ensemble.funnel.lightgbm:Lightgbm",
        "linear": "shoploom.ensemble.funnel.network:LINEAR",
        "deepfm": "shoploom.ensemble.funnel.network:DEEPFM",
        "dcn": "shoploom.ensemble.funnel.network:DCN",
        "esmm": "shoploom.ensemble.funnel.network:ESMM",
        "escm2_ips": "shoploom.ensemble.funnel.network:ESCM2_IPS",
        "escm2_dr": "shoploom.ensemble.funnel.network:ESCM2_DR",
        "aitm": "shoploom.ensemble.funnel.network:AITM",
    },
)
