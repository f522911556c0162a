import unittest

from app import label


class Label(unittest.TestCase):
    def test_one(self):
        self.assertEqual(label("apple", 1), "1 apple")

    def test_many(self):
        self.assertEqual(label("apple", 3), "3 apples")
