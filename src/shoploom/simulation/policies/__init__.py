"""Logging policies: how a page is filled, with a known propensity of every product at its place. One file each."""

from __future__ import annotations

from shoploom.plugins import PluginTable

POLICIES = PluginTable(
    "policy",
    "shoploom.policies",
    {
        "mixture": "shoploom.simulation.policies.mixture:Mixture",
        "plackett_luce": "shoploom.simulation.policies.plackett_luce:PlackettLuce",
    },
)
