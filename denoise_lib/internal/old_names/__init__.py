"""Aliases: modules as they were named in problem sets that were handed out in 2026. `denoise_lib` finds them under those names.

Each goes when no class has such a problem set any more; new notebooks import from faces.
"""
