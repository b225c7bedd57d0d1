"""The two papers measured again: their tables and claims as data, the runs that re-measure them, and how both are rendered."""
