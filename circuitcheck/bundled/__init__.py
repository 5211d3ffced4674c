"""The models this project trained itself and ships: `BUNDLED` are their Hugging Face folders by name, `PATH` the language model's, `IMAGE_MODEL` that
of the one that reads pictures; `DICTIONARIES` has the language model's dictionaries' folders."""

import pathlib

PATH = pathlib.Path(__file__).resolve().parent / "model"
DICTIONARIES = PATH.parent / "dictionaries"
IMAGE_MODEL = PATH.parent / "image_model"
BUNDLED = {"bundled": PATH, "bundled-images": IMAGE_MODEL}
