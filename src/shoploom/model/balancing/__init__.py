"""How the losses of several tasks become one step, behind one interface (``base.Balancer``)."""

from __future__ import annotations

from shoploom.plugins import PluginTable

BALANCING = PluginTable(
    "balancing method",
    "shoploom.balancing",
    {
        "static": "shoploom.model.balancing.static:Static",
        "uncertainty": "shoploom.model.balancing.uncertainty:Uncertainty",
        "dwa": "shoploom.model.balancing.dwa:DWA",
        "gradnorm": "shoploom.model.balancing.gradnorm:GradNorm",
        "famo": "shoploom.model.balancing.famo:FAMO",
        "pcgrad": "shoploom.model.balancing.surgery:pcgrad",
        "cagrad": "shoploom.model.balancing.surgery:cagrad",
        "imtl_g": "shoploom.model.balancing.surgery:imtl_g",
        "nash": "shoploom.model.balancing.surgery:nash",
        "aligned": "shoploom.model.balancing.surgery:aligned",
        "upgrad": "shoploom.model.balancing.surgery:upgrad",
    },
)
