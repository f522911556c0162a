//! Kinds of values an expression can have, as far as they are known before a run.

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const TRUTH: Self = Self(2);
    pub(crate) const NUMBER: Self = Self(4);
    pub(crate) const TEXT: Self = Self(8);
    pub(crate) const LIST: Self = Self(16);
    pub(crate) const MAP: Self = Self(32);
    /// Any kind: nothing is known.
    pub(crate) const ANY: Self = Self(63);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True if a value can be of one of these kinds.
    pub(crate) const fn can_be(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// In words: "a text or a number".
    pub(crate) fn shown(self) -> String {
        let words = [
            (Self::NULL, "null"),
            (Self::TRUTH, "true or false"),
            (Self::NUMBER, "a number"),
            (Self::TEXT, "a text"),
            (Self::LIST, "a list"),
            (Self::MAP, "a map"),
        ];
        let found = words.into_iter().filter(|(kind, _)| self.can_be(*kind));
        found.map(|(_, word)| word).collect::<Vec<_>>().join(" or ")
    }
}
