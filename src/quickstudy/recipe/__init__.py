"""facts + hardware + budget -> Recipe: every hyper-parameter with its value and its reason."""

from quickstudy.recipe.coercion import coerce
from quickstudy.recipe.draft import PREFIX, Offer, is_formula
from quickstudy.recipe.files import read, settings, write
from quickstudy.recipe.plan import LOSSES, plan
from quickstudy.recipe.sections import SoundAugment
from quickstudy.recipe.types import KEYS, KEYS_OF, Choice, Recipe, assemble

__all__ = [
    "KEYS",
    "KEYS_OF",
    "LOSSES",
    "PREFIX",
    "Choice",
    "Offer",
    "Recipe",
    "SoundAugment",
    "assemble",
    "coerce",
    "is_formula",
    "plan",
    "read",
    "settings",
    "write",
]
