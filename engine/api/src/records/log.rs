//! Notes about a log, separate from its bytes.

use plue_store::{LogPiece, LogStream};
use serde::{Deserialize, Serialize};

/// Remarks of one answer at most.
const MAX_REMARKS: usize = 16;
/// Characters of one remark at most.
const MAX_TEXT: usize = 160;

/// A gap in a log, or a note of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRemark {
    /// `gap` or `note`.
    pub stream: String,
    /// Its text, cut after 160 characters.
    pub text: String,
}

// === impl LogRemark ===

impl LogRemark {
    /// The first remarks among pieces.
    pub(crate) fn of(pieces: &[LogPiece]) -> Vec<Self> {
        let remarks = pieces.iter().filter(|piece| match piece.stream {
            LogStream::Gap | LogStream::Note => true,
            LogStream::Stdout | LogStream::Stderr => false,
        });
        let remark = |piece: &LogPiece| {
            let text = String::from_utf8_lossy(&piece.bytes);
            let text = text.chars().take(MAX_TEXT).collect();
            Self { stream: piece.stream.as_str().to_owned(), text }
        };
        remarks.take(MAX_REMARKS).map(remark).collect()
    }
}
