"""A shop with a known truth: storefront sessions over a real or synthetic catalogue, streamed, seeded.

``World`` is what customers want (fitted to real purchases, or made up), ``Settings`` how they visit, ``simulate`` the
stream of impressions with labels and true probabilities, ``event_stream`` the same as canonical events.
"""

from __future__ import annotations

from shoploom.simulation.events import event_stream
from shoploom.simulation.settings import Drift, Settings
from shoploom.simulation.stream import Chunk, Simulation, simulate
from shoploom.simulation.world import World

__all__ = ["Chunk", "Drift", "Settings", "Simulation", "World", "event_stream", "simulate"]
