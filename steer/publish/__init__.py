"""From decisions to what the engines read: snapshot format, compilers, change guard and store.
Imports `errors` and `model` only; files are touched by the store alone."""
