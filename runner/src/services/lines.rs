//! Copies the output of services to standard error, with their name before each line: standard
//! output belongs to the step alone, because its end may be the step's output.

use std::io::Write as _;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Bytes of a line that are put out together at most.
const MAX_LINE: usize = 16 * 1024;

/// Copies until the other end is closed. Lines of several streams do not mix.
pub(super) async fn copy(name: String, from: impl AsyncRead + Unpin) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        let (taken, ended) = match from.fill_buf().await {
            Ok([]) | Err(_) => (0, true),
            Ok(bytes) => {
                let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
                let taken = end.unwrap_or(bytes.len());
                line.extend_from_slice(bytes.get(..taken).unwrap_or_default());
                (taken, false)
            }
        };
        from.consume(taken);
        let whole = line.ends_with(b"\n") || line.len() >= MAX_LINE || ended;
        if whole && !line.is_empty() {
            put(&name, &line);
            line.clear();
        }
        if ended {
            return;
        }
    }
}

fn put(name: &str, line: &[u8]) {
    let mut text = format!("[{name}] ").into_bytes();
    text.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
    text.push(b'\n');
    // The reader may be gone.
    let _closed = std::io::stderr().write_all(&text);
}
