"""Pictures drawn by code: scenes from a small grammar, nine styles of rendering them, captions, folders of them.

The image models of the zoo are made from these alone (``scripts/make_picture_zoo.py``); ``docs/zoo-pictures.md`` tells how.
"""

from xpert.zoo.pictures.dataset import draw, write_dataset
from xpert.zoo.pictures.scenes import Scene, Thing, scenes, split_of
from xpert.zoo.pictures.styles import PLAIN, STYLES
from xpert.zoo.pictures.words import accepted_words

__all__ = ["PLAIN", "STYLES", "Scene", "Thing", "accepted_words", "draw", "scenes", "split_of", "write_dataset"]
