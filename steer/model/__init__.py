"""Nouns of the product: frozen values with units in their names.
Standard library and NumPy only; no clock, chance, file, socket or log."""
