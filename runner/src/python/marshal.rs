//! Values as Python's `marshal` reads them, which needs no import: an interpreter that only just
//! started can take a request at once.
//!
//! Only what requests need: texts, lists of them, dictionaries, nothing. These have had the same form
//! in every Python 3.

/// Writer of values in the format of `marshal`.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

// === impl Writer ===

impl Writer {
    /// Writes `None`.
    pub(crate) fn none(&mut self) -> &mut Self {
        self.0.push(b'N');
        self
    }

    /// Writes a `str`.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(b'u');
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A list of texts.
    pub(crate) fn list(&mut self, texts: &[String]) -> &mut Self {
        self.0.push(b'[');
        self.length(texts.len());
        for text in texts {
            self.text(text);
        }
        self
    }

    /// A dictionary of the pairs that `entries` writes, key before value; `None` when it gives up.
    pub(crate) fn dict(&mut self, entries: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.0.push(b'{');
        entries(self)?;
        self.0.push(b'0');
        Some(())
    }

    /// The bytes written so far.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// A request has far fewer than 2 GiB; a longer one is refused for its size.
    fn length(&mut self, length: usize) {
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_form_that_python_documents() {
        let mut out = Writer::default();
        let whole = out.dict(|out| {
            out.text("a").none();
            out.text("b").list(&["x".to_owned(), "\u{e9}".to_owned()]);
            out.text("c").dict(|_| Some(()))
        });
        assert_eq!(whole, Some(()));
        let expected =
            b"{u\x01\0\0\0aNu\x01\0\0\0b[\x02\0\0\0u\x01\0\0\0xu\x02\0\0\0\xc3\xa9u\x01\0\0\0c{00";
        assert_eq!(out.finish(), expected);
    }
}
