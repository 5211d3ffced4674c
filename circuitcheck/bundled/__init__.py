"""The language model this project trained itself and ships: `PATH` is its Hugging Face folder."""

import pathlib

PATH = pathlib.Path(__file__).resolve().parent / "model"
