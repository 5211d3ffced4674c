"""The language model this project trained itself and ships: `PATH` is its Hugging Face folder, `DICTIONARIES` has its dictionaries' folders."""

import pathlib

PATH = pathlib.Path(__file__).resolve().parent / "model"
DICTIONARIES = PATH.parent / "dictionaries"
