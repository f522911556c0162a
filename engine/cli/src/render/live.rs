//! Live progress: log lines as they come, and on a terminal a block below them that shows what
//! runs. Piped, the same lines without the block, so that nothing has to be erased.
//!
//! Text only: what to show is decided by `follow`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use plue_flow::StepStatus;
use unicode_width::UnicodeWidthChar as _;

use super::words;
use crate::terminal::{Style, Terminal, sanitize};

/// Running steps that the block shows; of more, how many there are.
const MAX_BLOCK: usize = 8;
/// Bytes of an unfinished line that are kept before it is shown as it is.
const MAX_LINE: usize = 16 * 1024;
/// Colours of step names, in turn.
const NAME_STYLES: [Style; 5] =
    [Style::Cyan, Style::Magenta, Style::Blue, Style::Yellow, Style::Green];

/// A running step in the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Id of the step.
    pub step: String,
    /// Elapsed time as text.
    pub elapsed: String,
}

/// The display of one run.
#[derive(Debug)]
pub struct Live<W> {
    out: W,
    terminal: Terminal,
    /// Width of the longest step id.
    column: usize,
    /// Unfinished lines, by step.
    partial: BTreeMap<String, Vec<u8>>,
    styles: BTreeMap<String, Style>,
    /// Last complete line of each step, for the block.
    last: BTreeMap<String, String>,
    /// Lines of the block on the screen.
    block: usize,
    quiet: bool,
}

// === impl Live ===

impl<W: Write> Live<W> {
    /// A display for steps with these ids.
    pub fn new<'a>(
        out: W,
        terminal: Terminal,
        steps: impl Iterator<Item = &'a str>,
        quiet: bool,
    ) -> Self {
        let names: Vec<&str> = steps.collect();
        let styles = names.iter().zip(NAME_STYLES.iter().cycle());
        Self {
            out,
            terminal,
            column: names.iter().map(|name| name.len()).max().unwrap_or(0).min(24),
            partial: BTreeMap::new(),
            styles: styles.map(|(name, style)| ((*name).to_owned(), *style)).collect(),
            last: BTreeMap::new(),
            block: 0,
            quiet,
        }
    }

    /// Takes bytes of a step's log; complete lines are shown.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn log(&mut self, step: &str, bytes: &[u8]) -> io::Result<()> {
        let mut text = self.partial.remove(step).unwrap_or_default();
        text.extend_from_slice(bytes);
        let end = match text.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if text.len() > MAX_LINE => text.len(),
            None => 0,
        };
        let rest = text.split_off(end);
        if !rest.is_empty() {
            self.partial.insert(step.to_owned(), rest);
        }
        if text.is_empty() {
            return Ok(());
        }
        self.erase()?;
        let lines = String::from_utf8_lossy(&text).into_owned();
        for line in lines.lines() {
            self.line(step, "|", Style::Dim, &self.visible(line))?;
        }
        Ok(())
    }

    /// Shows what became of a step, after the rest of its log.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn ended(&mut self, status: StepStatus, step: &str, words: &str) -> io::Result<()> {
        self.flush(step)?;
        self.note(status, step, words)
    }

    /// Shows an unfinished line of a step: another attempt begins a line of its own.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn flush(&mut self, step: &str) -> io::Result<()> {
        let Some(rest) = self.partial.remove(step) else { return Ok(()) };
        self.erase()?;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        self.line(step, "|", Style::Dim, &self.visible(&rest))
    }

    /// Shows a remark about a step.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn note(&mut self, status: StepStatus, step: &str, words: &str) -> io::Result<()> {
        self.erase()?;
        self.line(step, words::step_sign(status), words::step_style(status), words)
    }

    /// Shows a remark about the run.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn run(&mut self, words: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        self.erase()?;
        let text = sanitize(words, self.terminal.color);
        writeln!(self.out, "{} {text}", self.terminal.paint(Style::Bold, "run"))
    }

    /// Draws the block of running steps. Nothing when piped.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn draw(&mut self, running: &[Running], summary: &str) -> io::Result<()> {
        if !self.terminal.interactive || self.quiet {
            return Ok(());
        }
        let mut block = String::new();
        let width = self.terminal.width().saturating_sub(1);
        let mut lines = 0;
        for entry in running.iter().take(MAX_BLOCK) {
            let last = self.last.get(&entry.step).map_or("", String::as_str);
            let text = format!(
                "  ● {:<column$}  {:>7}  {last}",
                entry.step,
                entry.elapsed,
                column = self.column
            );
            let _infallible =
                writeln!(block, "{}", self.terminal.paint(Style::Cyan, &cut(&text, width)));
            lines += 1;
        }
        if running.len() > MAX_BLOCK {
            let _infallible = writeln!(block, "    and {} more", running.len() - MAX_BLOCK);
            lines += 1;
        }
        let _infallible =
            writeln!(block, "{}", self.terminal.paint(Style::Dim, &cut(summary, width)));
        self.erase()?;
        self.block = lines + 1;
        self.out.write_all(block.as_bytes())?;
        self.out.flush()
    }

    /// Takes the block off the screen.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn erase(&mut self) -> io::Result<()> {
        if self.block > 0 {
            // Cursor up, then clear to the end of the screen (ECMA-48 CUU, ED).
            write!(self.out, "\x1b[{}A\x1b[J", self.block)?;
            self.block = 0;
        }
        Ok(())
    }

    /// A line with carriage returns: what a terminal would still show of it, which is the text after
    /// the last one; in a pipe all of it, since nothing there was overwritten.
    fn visible(&self, line: &str) -> String {
        let line = line.trim_end_matches('\r');
        if self.terminal.interactive {
            line.rsplit('\r').next().unwrap_or(line).to_owned()
        } else {
            line.replace('\r', " ⏎ ")
        }
    }

    fn line(&mut self, step: &str, sign: &str, style: Style, text: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let name_style = self.styles.get(step).copied().unwrap_or(Style::Plain);
        let name = format!("{step:<column$}", column = self.column);
        let text = sanitize(text, self.terminal.color);
        if sign == "|" {
            self.last.insert(step.to_owned(), sanitize(&text, false).into_owned());
        }
        let (name, sign) =
            (self.terminal.paint(name_style, &name), self.terminal.paint(style, sign));
        writeln!(self.out, "{name} {sign} {text}")
    }
}

/// At most `width` columns of a text.
fn cut(text: &str, width: usize) -> String {
    let mut columns = 0;
    let fits = |c: &char| {
        columns += c.width().unwrap_or(0);
        columns <= width
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::ColorChoice, config::Environment};

    fn piped(steps: &[&str]) -> Live<Vec<u8>> {
        let terminal = Terminal::stderr(ColorChoice::Never, &Environment::from([("TERM", "dumb")]));
        Live::new(Vec::new(), terminal, steps.iter().copied(), false)
    }

    #[test]
    fn lines_are_shown_whole_however_they_were_cut() {
        let mut live = piped(&["a", "long"]);
        for bytes in [b"one\ntw".as_slice(), b"o\n", b"\xe6\x97", b"\xa5\n", b"10%\r50%\r100%\n"] {
            live.log("a", bytes).unwrap();
        }
        assert_eq!(
            String::from_utf8(live.out).unwrap(),
            "a    | one\na    | two\na    | 日\na    | 10% ⏎ 50% ⏎ 100%\n"
        );
    }

    #[test]
    fn unfinished_lines_end_with_their_attempt() {
        let mut live = piped(&["a"]);
        live.log("a", b"one").unwrap();
        live.flush("a").unwrap();
        live.log("a", b"two\n").unwrap();
        assert_eq!(String::from_utf8(live.out).unwrap(), "a | one\na | two\n");
    }

    #[test]
    fn hostile_log_text_cannot_act_on_the_terminal() {
        let mut live = piped(&["a"]);
        live.log("a", b"\x1b[2J\x1b]0;x\x07gone?\n").unwrap();
        assert_eq!(String::from_utf8(live.out).unwrap(), "a | gone?\n");
    }

    #[test]
    fn a_pipe_never_sees_the_block() {
        let mut live = piped(&["a"]);
        let running = [Running { step: "a".to_owned(), elapsed: "1.0s".to_owned() }];
        live.draw(&running, "1 running").unwrap();
        assert!(live.out.is_empty());
    }

    #[test]
    fn a_line_of_the_block_never_wraps() {
        assert_eq!(cut("日本語", 4), "日本");
        assert_eq!(cut("abc", 10), "abc");
    }
}
