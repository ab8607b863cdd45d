"""Bugs put into copies of the tree, and what must find them."""
