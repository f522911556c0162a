//! One log on its way out: as it is, for a terminal, with the step before each line, or as records.

use plue_api::records::PieceRecord;

use super::pieces;
use crate::{
    app::App,
    failure::Failure,
    output,
    records::LogLine,
    terminal::{Style, Terminal, sanitize},
};

/// Bytes of an unfinished line that are kept before it is shown as it is.
const MAX_LINE: usize = 1024 * 1024;

/// Output format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The bytes, exactly.
    Raw,
    /// Lines that cannot act on a terminal.
    Clean,
    /// Lines with the name of the step before them.
    Prefixed {
        /// Columns of the widest name.
        width: usize,
    },
    /// Lines as records, given back by [`Writer::end`].
    Records,
}

/// A log on its way out.
#[derive(Debug)]
pub(crate) struct Writer {
    shape: Shape,
    terminal: Terminal,
    name: String,
    step: String,
    visit: u32,
    attempt: u32,
    /// Number of the next line, from 0; none before the first piece.
    line: Option<u64>,
    /// The line that has not ended.
    partial: Vec<u8>,
    records: Vec<LogLine>,
}

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) step: String,
    pub(crate) visit: u32,
    pub(crate) number: u32,
}

/// `test`, `test#2` for a second attempt, `test@3#1` in a third visit.
pub(crate) fn name(attempt: &Whose) -> String {
    match (attempt.visit, attempt.number) {
        (1, 1) => attempt.step.clone(),
        (1, number) => format!("{}#{number}", attempt.step),
        (visit, number) => format!("{}@{visit}#{number}", attempt.step),
    }
}

/// `test:12: text`.
pub(crate) fn hit(line: &LogLine, app: &App) -> String {
    let name = if (line.visit, line.attempt) == (1, 1) {
        line.step.clone()
    } else {
        format!("{}@{}#{}", line.step, line.visit, line.attempt)
    };
    let place = format!("{name}:{}:", line.line);
    let text = sanitize(&line.text, false);
    format!("{} {text}\n", app.stdout.paint(Style::Cyan, &place))
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(shape: Shape, attempt: Whose, app: &App) -> Self {
        Self {
            shape,
            terminal: app.stdout,
            name: name(&attempt),
            step: attempt.step,
            visit: attempt.visit,
            attempt: attempt.number,
            line: None,
            partial: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Takes the next piece.
    pub(crate) fn take(&mut self, piece: &PieceRecord) -> Result<(), Failure> {
        let bytes = pieces::bytes(piece)?;
        if !pieces::is_output(piece) {
            self.remark(&piece.stream, &String::from_utf8_lossy(&bytes));
            return Ok(());
        }
        if self.shape == Shape::Raw {
            return output::bytes(&bytes);
        }
        self.line.get_or_insert(piece.first_line.saturating_sub(1));
        let mut text = String::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") || self.partial.len() > MAX_LINE {
                self.finish_line(&mut text);
            }
        }
        output::text(&text)
    }

    /// Prints a gap of the log or a note of the runner, which are no output of the step.
    pub(crate) fn remark(&self, stream: &str, text: &str) {
        let text = match (stream, text.split_once(' ')) {
            ("gap", Some((bytes, why))) => format!("{bytes} bytes are missing here: {why}"),
            ("gap", None) => format!("{text} bytes are missing here: "),
            _ => text.to_owned(),
        };
        output::report(&format!("{}: {}", self.name, sanitize(&text, false)));
    }

    /// The rest of a log without a last line end; the records, if that is its shape.
    pub(crate) fn end(mut self) -> Result<Vec<LogLine>, Failure> {
        if !self.partial.is_empty() {
            let mut text = String::new();
            self.finish_line(&mut text);
            output::text(&text)?;
        }
        Ok(self.records)
    }

    fn finish_line(&mut self, text: &mut String) {
        let bytes = std::mem::take(&mut self.partial);
        let line =
            String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned();
        let number = self.line.unwrap_or(0);
        self.line = Some(number + 1);
        match self.shape {
            Shape::Raw => {}
            Shape::Clean => {
                text.push_str(&sanitize(line.trim_end_matches('\r'), self.terminal.color));
                text.push('\n');
            }
            Shape::Prefixed { width } => {
                let name = format!("{:<width$} |", self.name);
                let line = line.trim_end_matches('\r');
                let line = if self.terminal.interactive {
                    sanitize(line, self.terminal.color)
                } else {
                    line.into()
                };
                text.push_str(&format!("{} {line}\n", self.terminal.paint(Style::Cyan, &name)));
            }
            Shape::Records => self.records.push(LogLine {
                step: self.step.clone(),
                visit: self.visit,
                attempt: self.attempt,
                line: number + 1,
                text: line,
            }),
        }
    }
}
