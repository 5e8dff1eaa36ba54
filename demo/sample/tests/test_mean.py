"""Run with `python3 -m unittest discover -s tests`."""

from __future__ import annotations

import unittest

from tally.mean import mean


class Mean(unittest.TestCase):
    def test_the_mean_of_equal_values_is_that_value(self) -> None:
        self.assertEqual(mean([4, 4, 4]), 4)

    def test_the_mean_lies_between_its_values(self) -> None:
        self.assertEqual(mean([1, 2, 6]), 3)


if __name__ == "__main__":
    unittest.main()
