import unittest

from slug import slug


class Slugs(unittest.TestCase):
    def test_words_are_joined_by_hyphens(self):
        self.assertEqual(slug("Two Words"), "two-words")

    def test_many_spaces_are_one_hyphen(self):
        self.assertEqual(slug(" A   b "), "a-b")


if __name__ == "__main__":
    unittest.main()
