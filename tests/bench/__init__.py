"""Measured, never asserted: `make bench` prints each goal as a ratio to its reference.

`python -m tests.bench --list` names the rows; each is a file in `rows/` and runs in a process of
its own, with its reference measured in the same run.
"""
