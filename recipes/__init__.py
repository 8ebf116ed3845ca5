"""How every bundled file was made: one resumable script each, run by `make assets`."""
