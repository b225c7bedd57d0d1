"""The instructor's tools: release problem sets, collect and grade what is handed in, and see what a class got wrong.

`python -m denoise_lib class --help` is the door. Nothing else in the library imports this, and no student needs it. The
gradebook, the manual grading and the feedback pages are nbgrader's; what is added here is that broken notebooks are repaired,
that students' code runs in a sandbox, and that each wrong answer is told by its name.
"""
