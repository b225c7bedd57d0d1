"""Trained networks that come with the library: one file of weights and one card each, and what reads and writes them."""
