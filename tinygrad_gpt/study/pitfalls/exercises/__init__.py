"""Exercises: nine vjps to write, with a check that names the first wrong entry and the likely mistake.

`checking.check` needs Hypothesis; the exercises themselves do not.
"""

from tinygrad_gpt.study.pitfalls.exercises.catalogue import ALL_EXERCISES as ALL_EXERCISES
from tinygrad_gpt.study.pitfalls.exercises.catalogue import BY_NAME as BY_NAME
from tinygrad_gpt.study.pitfalls.exercises.exercise import Exercise as Exercise
