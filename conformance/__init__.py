"""Other people's checkers, run against steer in a small Internet of its own: `make conformance`."""
