"""Invented worlds and time: the POPs of the demo, replay and simulation.
Imports every room below it and `control`; nothing but `cli` imports it."""
