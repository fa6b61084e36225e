"""Who gets which POP: pure functions from policy, places, evidence and state to plans and choices.
Vectorised with NumPy; no I/O and no clock; imports `errors` and `model` only."""
