"""LeJEPA pretraining, of the bundled encoders or on one's own pictures: views, SIGReg, the loop, the model card.

`pretrain("digits", folder)` writes `digits.safetensors` and `digits.json` there. Recipes are data, in `recipes.py`.
Source: Balestriero and LeCun, LeJEPA, arXiv 2511.08544.
"""

from jepa_core.pretrain.recipes import RECIPES, Recipe
from jepa_core.pretrain.train import pretrain

__all__ = ["RECIPES", "Recipe", "pretrain"]
