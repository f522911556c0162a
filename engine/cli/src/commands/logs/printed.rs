//! The logs of a run, one after the other, in the shape of the options.

use crate::{
    app::App,
    args::{Format, LogsArgs},
    commands::logs::writer::{Shape, Whose, Writer, hit, name},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{LogLine, Logs, SCHEMA_VERSION},
};

/// Lines that a search shows.
const MAX_HITS: usize = 10_000;

/// The shape of the options, and the records so far.
pub(crate) struct Printed<'a> {
    app: &'a App,
    output: Format,
    shape: Shape,
    lines: Vec<LogLine>,
}

// === impl Printed ===

impl<'a> Printed<'a> {
    /// `all` are the attempts that will be printed.
    pub(crate) fn new(args: &LogsArgs, app: &'a App, all: impl Iterator<Item = Whose>) -> Self {
        let shape = match args.output {
            Format::Table if args.step.is_some() && app.stdout.interactive => Shape::Clean,
            Format::Table if args.step.is_some() => Shape::Raw,
            Format::Table => {
                let names = all.map(|whose| name(&whose).chars().count());
                Shape::Prefixed { width: names.max().unwrap_or(0) }
            }
            Format::Json | Format::Jsonl => Shape::Records,
        };
        Self { app, output: args.output, shape, lines: Vec::new() }
    }

    /// True if logs are printed byte for byte.
    pub(crate) fn is_raw(&self) -> bool {
        self.shape == Shape::Raw
    }

    /// Takes the pieces of one attempt's log.
    pub(crate) fn begin(&self, whose: Whose) -> Writer {
        Writer::new(self.shape, whose, self.app)
    }

    /// The log has ended.
    pub(crate) fn ended(&mut self, writer: Writer) -> Result<(), Failure> {
        let records = writer.end()?;
        if self.output == Format::Jsonl {
            return records.iter().try_for_each(output::json);
        }
        self.lines.extend(records);
        Ok(())
    }

    /// All logs have ended.
    pub(crate) fn end(self, run: &str) -> Outcome {
        if self.output == Format::Json {
            let (run, lines) = (run.to_owned(), self.lines);
            output::json(&Logs { schema_version: SCHEMA_VERSION, run, lines })?;
        }
        Ok(Exit::Ok)
    }
}

/// Lines with the searched text.
#[derive(Default)]
pub(crate) struct Hits {
    lines: Vec<LogLine>,
    more: bool,
}

// === impl Hits ===

impl Hits {
    /// Takes a line, if there is room for it.
    pub(crate) fn take(&mut self, line: LogLine) {
        if self.lines.len() < MAX_HITS {
            self.lines.push(line);
        } else {
            self.more = true;
        }
    }

    /// True if there are more lines than it has room for.
    pub(crate) fn is_full(&self) -> bool {
        self.more
    }

    /// Prints them in the format of the options.
    pub(crate) fn print(self, args: &LogsArgs, app: &App, run: &str, text: &str) -> Outcome {
        let document =
            Logs { schema_version: SCHEMA_VERSION, run: run.to_owned(), lines: self.lines };
        output::list(args.output, &document, &document.lines, || {
            document.lines.iter().map(|line| hit(line, app)).collect()
        })?;
        if document.lines.is_empty() && app.verbosity >= 0 {
            output::report(&format!("{text:?} is nowhere in the log"));
        }
        if self.more {
            output::report(&format!("these are the first {MAX_HITS} lines; there are more"));
        }
        Ok(Exit::Ok)
    }
}
