"""Speed, measured side by side: `python -m benchmarks`. For maintainers, in a clone of the course; no part of the library."""
