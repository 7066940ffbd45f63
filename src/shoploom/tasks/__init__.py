"""What each task is: its label, sample space, metric and rivals. One file and one line per task.

Rivals are names of ``ensemble.members``; heads are built by shape in ``model.heads``. Nothing here trains.
"""

from __future__ import annotations

from shoploom.plugins import PluginTable

TASKS = PluginTable(
    "task",
    "shoploom.tasks",
    {
        "next_basket": "shoploom.tasks.next_basket:NextBasket",
        "new_for_you": "shoploom.tasks.new_for_you:NewForYou",
        "churn": "shoploom.tasks.churn:Churn",
        "spend": "shoploom.tasks.spend:Spend",
        "profile": "shoploom.tasks.profile:Profile",
        "category": "shoploom.tasks.category:Category",
        "price": "shoploom.tasks.price:Price",
        "demand": "shoploom.tasks.demand:Demand",
    },
)
