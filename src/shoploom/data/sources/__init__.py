"""Where a shop's data comes from. One file and one line per source; a source knows nothing of models."""

from __future__ import annotations

from shoploom.plugins import PluginTable

SOURCES = PluginTable(
    "source",
    "shoploom.sources",
    {
        "complete_journey": "shoploom.data.sources.complete_journey:CompleteJourney",
        "files": "shoploom.data.sources.files:Files",
    },
)
