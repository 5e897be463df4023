"""Which kind of write is seen, under each capture, on each database.

writes.py has a function for each kind; test_table.py does them under a page, and compares what it
found with docs/reference/writes.md. `python -m tests.conformance` writes that page anew.
"""
