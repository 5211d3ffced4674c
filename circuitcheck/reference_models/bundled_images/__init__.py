"""The image model this project trained itself and ships: the pictures it is trained on, how it is trained, its card."""
