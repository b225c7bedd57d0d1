"""Exercises: banks of questions with their known mistakes, the check that a student calls, and the judging behind both."""
