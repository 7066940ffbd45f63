"""The values that a classification chooses from, whether or not anything labelled has each of them."""

from __future__ import annotations

from shoploom.data.arrays import ShopArrays
from shoploom.tasks.base import Task
from shoploom.tasks.category import Category, category_labels


def class_values(shop: ShopArrays, task: Task) -> dict[str, tuple[str, ...]]:
    """By attribute its values, in the order of their codes; empty for tasks without classes."""
    if task.shape != "classes":
        return {}
    if task.space == "product":
        return {Category.name: category_labels(shop).values}
    return {name: one.values for name, one in shop.attributes.items()}
