//! The end of an attempt whose processes are gone: exit, output, usage.

use std::{io, time::Duration};

use plue_runtime::mask::Secrets;
use plue_wire::runner::Exit;
use serde_json::Value;

use crate::{
    files,
    output::{self, MAX_OUTPUT_BYTES, TAIL_BYTES},
    workspace::AttemptFiles,
};

/// The end of an attempt, before it has a sequence number.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) exit: Exit,
    pub(crate) output_json: String,
    pub(crate) wall: Duration,
    pub(crate) cpu_us: u64,
    pub(crate) max_rss_kib: u64,
    pub(crate) leaked: u32,
}

/// The last bytes of standard output.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

// === impl Ending ===

impl Ending {
    /// The end of an attempt that never had a process.
    pub(crate) fn not_started(exit: Exit) -> Self {
        Self {
            exit,
            output_json: "null".to_owned(),
            wall: Duration::ZERO,
            cpu_us: 0,
            max_rss_kib: 0,
            leaked: 0,
        }
    }
}

// === impl Tail ===

impl Tail {
    /// Takes further bytes and forgets old ones.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() >= TAIL_BYTES {
            let from = bytes.len() - TAIL_BYTES;
            self.is_cut |= from > 0 || !self.bytes.is_empty();
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes.get(from..).unwrap_or_default());
            return;
        }
        self.bytes.extend_from_slice(bytes);
        // Twice the size, so that not every small chunk moves the whole tail.
        if self.bytes.len() > 2 * TAIL_BYTES {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let over = self.bytes.len().saturating_sub(TAIL_BYTES);
        self.bytes.drain(..over);
        self.is_cut |= over > 0;
    }

    fn value(&self) -> Value {
        let from = self.bytes.len().saturating_sub(TAIL_BYTES);
        let bytes = self.bytes.get(from..).unwrap_or_default();
        output::from_tail(bytes, self.is_cut || from > 0)
    }
}

/// The step's output as masked JSON text: the value of a called function, else the output file,
/// else the end of standard output.
///
/// # Errors
/// The reason for which there is none, for people.
pub(super) fn output(
    files: &AttemptFiles,
    tail: &Tail,
    secrets: &Secrets,
) -> Result<String, String> {
    let value = match returned(files)? {
        Some(value) => value,
        None => output::read(&files.output())?.unwrap_or_else(|| tail.value()),
    };
    let text = secrets.value(value).to_string();
    if text.len() > MAX_OUTPUT_BYTES {
        return Err(format!("the output is over the limit of {MAX_OUTPUT_BYTES} bytes"));
    }
    Ok(text)
}

fn returned(files: &AttemptFiles) -> Result<Option<Value>, String> {
    let Some(path) = files.returned_if_called() else {
        return Ok(None);
    };
    let text = match files::read(&path, MAX_OUTPUT_BYTES) {
        Ok(text) if text.len() > MAX_OUTPUT_BYTES => {
            return Err(format!(
                "the returned value is over the limit of {MAX_OUTPUT_BYTES} bytes"
            ));
        }
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("the returned value cannot be read: {error}")),
    };
    let not_json =
        |error: &dyn std::fmt::Display| format!("the returned value is not JSON: {error}");
    let text = String::from_utf8(text).map_err(|error| not_json(&error))?;
    let value = serde_json::from_str(&text).map_err(|error| not_json(&error))?;
    output::refuse_large_integers(&text).map_err(|why| format!("the returned value has {why}"))?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_64_kib() {
        let mut tail = Tail::default();
        let mut all = Vec::new();
        for round in 0..500_u32 {
            let piece = format!("{round:07}").repeat(100);
            tail.push(piece.as_bytes());
            all.extend(piece.bytes());
        }
        let last = &all[all.len() - TAIL_BYTES..];
        assert_eq!(tail.value(), Value::String(String::from_utf8(last.to_vec()).unwrap()));
        assert!(tail.bytes.len() <= 2 * TAIL_BYTES);
    }
}
