import unittest

from app import parse, show


class Show(unittest.TestCase):
    def test_every_amount_is_read_back(self):
        for cents in range(0, 10_000, 7):
            self.assertEqual(parse(show(cents)), cents)
