"""What happened: counters by name and the decision log.
Imports `errors` and `model` only; the names in `counters` are shared by both engines."""
