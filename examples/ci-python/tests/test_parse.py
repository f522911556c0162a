import unittest

from app import parse


class Parse(unittest.TestCase):
    def test_cents_are_exact(self):
        self.assertEqual(parse("12.34"), 1234)
        self.assertEqual(parse("5"), 500)
        self.assertEqual(parse("0.1"), 10)
