"""Where a student's code runs: walls around a process, what runs inside them, and what is believed of what comes out."""
