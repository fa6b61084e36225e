"""The world in: policy files, geodata, POP status, measurements and overrides, read and proved.
Bad input is refused whole with every fault; imports `errors` and `model` only."""
