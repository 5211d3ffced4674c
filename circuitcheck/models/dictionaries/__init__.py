"""Dictionaries (sparse autoencoders, transcoders): their files, and the streams that they were trained on."""
