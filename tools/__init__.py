"""The maintainers' tools; no part of the library."""
