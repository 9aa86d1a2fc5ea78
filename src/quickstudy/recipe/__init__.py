"""facts + hardware + budget -> Recipe: every hyper-parameter with its value and its reason."""

from quickstudy.recipe.files import read, settings, write
from quickstudy.recipe.plan import Offer, plan
from quickstudy.recipe.types import KEYS, Choice, Recipe, coerce

__all__ = [
    "KEYS",
    "Choice",
    "Offer",
    "Recipe",
    "coerce",
    "plan",
    "read",
    "settings",
    "write",
]
