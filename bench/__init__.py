"""Measurements of steer beside a bare echo and its peers. Nothing in the product imports this."""
