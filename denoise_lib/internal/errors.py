"""Which errors the command line tells in one sentence; any other is a bug, and shows where it happened."""

ERRORS = (ValueError, TypeError, ArithmeticError, RuntimeError, OSError)
