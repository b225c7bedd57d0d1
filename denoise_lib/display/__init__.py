"""What a notebook shows: figures, views (pure functions of what a slider says), sliders, filmstrips, headline numbers."""
