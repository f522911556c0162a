//! The log of an agent: streamed text and reasoning, and summaries of calls and results.
//!
//! Must not contain whole results: those are in the transcript.

use std::sync::Arc;

use plue_llm::{
    Delta,
    agent::{End, Totals},
};
use plue_runtime::mask::{MaskStream, Secrets};
use plue_store::LogWriter;

use super::delegate::Lines;

/// Characters of a call's arguments in the log.
const MAX_SHOWN: usize = 200;

/// The masked log of one agent.
pub(crate) struct AgentLog {
    pub(crate) view: LogView,
    mask: MaskStream,
    /// Shared by all agents of the attempt.
    pub(crate) writer: Arc<LogWriter>,
    lines: Lines,
}

/// Turns streamed deltas into text for the log.
#[derive(Debug, Default)]
pub(crate) struct LogView {
    at: Block,
    /// Arguments of the streaming call.
    input: String,
    /// The last character was not a line end.
    is_mid_line: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Block {
    #[default]
    None,
    Text,
    Thinking,
    Call,
}

// === impl AgentLog ===

impl AgentLog {
    /// The log of an attempt's own agent.
    pub(crate) fn new(log: LogWriter, masks: &Secrets) -> Self {
        let view = LogView::continued(log.is_mid_line());
        Self { view, mask: masks.stream(), writer: Arc::new(log), lines: Lines::default() }
    }

    /// The log of a subagent; its lines have a label.
    pub(super) fn subagent(&self, masks: &Secrets) -> Self {
        let (view, lines) = (LogView::default(), Lines::default());
        Self { view, mask: masks.stream(), writer: self.writer.clone(), lines }
    }

    pub(super) fn set_label(&mut self, label: &str) {
        self.lines = Lines::of(label);
    }

    /// Adds text; followers see it at once.
    pub(super) fn print(&mut self, text: &str) {
        let masked = self.mask.push(text.as_bytes().to_vec());
        self.add(&masked);
    }

    /// Adds a line of plue itself.
    pub(super) fn note(&mut self, note: &str) {
        let text = self.view.note(note);
        self.print(&text);
    }

    /// Prints text that was withheld as the possible start of a secret.
    pub(super) fn flush(&mut self) {
        let rest = self.mask.finish();
        self.add(&rest);
    }

    fn add(&mut self, masked: &[u8]) {
        let text = self.lines.take(masked);
        self.writer.add(text);
    }
}

// === impl LogView ===

impl LogView {
    /// The text of a delta; may be empty.
    pub(crate) fn piece(&mut self, delta: &Delta) -> String {
        let text = match delta {
            Delta::BlockStart { kind, tool, .. } => {
                self.input.clear();
                self.at = match kind.as_str() {
                    "text" => Block::Text,
                    "thinking" => Block::Thinking,
                    "tool_use" => Block::Call,
                    _ => Block::None,
                };
                match (&self.at, tool) {
                    (Block::Call, Some(tool)) => self.line(&format!("▸ {tool} ")),
                    _ => String::new(),
                }
            }
            Delta::Text(text) => text.clone(),
            Delta::Thinking(text) if text.is_empty() => String::new(),
            Delta::Thinking(text) if self.at == Block::Thinking => {
                self.at = Block::None;
                self.line(&format!("… {text}"))
            }
            Delta::Thinking(text) => text.clone(),
            Delta::ToolInput(json) => {
                let room = MAX_SHOWN.saturating_sub(self.input.chars().count());
                let piece: String = json.chars().filter(|c| !c.is_control()).take(room).collect();
                self.input.push_str(&piece);
                piece
            }
            Delta::BlockStop { .. } => self.end_line(),
        };
        self.printed(text)
    }

    /// The summary of a result.
    pub(crate) fn result(&mut self, tool: &str, content: &str, is_error: bool) -> String {
        let mark = if is_error { "✗" } else { "✓" };
        let lines = content.lines().count();
        let text = self.line(&format!("{mark} {tool}: {lines} lines, {} bytes\n", content.len()));
        self.printed(text)
    }

    /// A line of plue itself.
    pub(crate) fn note(&mut self, note: &str) -> String {
        let text = self.line(&format!("{note}\n"));
        self.printed(text)
    }

    /// The line after an answer that is not the last.
    pub(crate) fn turn(&mut self, totals: Totals) -> String {
        let Totals { turns, tokens, cost } = totals;
        let text = self.line(&format!("[plue: turn {turns}, {tokens} tokens, {cost} so far]\n"));
        self.printed(text)
    }

    /// The line of an engine that resumes an agent whose answer was streaming.
    pub(crate) fn restarted(&mut self) -> String {
        self.note("[plue: another engine goes on; the answer is asked for again]")
    }

    /// A view that continues the text of another engine.
    pub(crate) fn continued(is_mid_line: bool) -> Self {
        Self { is_mid_line, ..Self::default() }
    }

    /// The last lines of a log.
    pub(crate) fn end(&mut self, end: &End, totals: Totals) -> String {
        let mut text = self.line("");
        if let Some(error) = end.error() {
            text.push_str(&format!("{error}\n"));
        }
        let Totals { turns, tokens, cost } = totals;
        text.push_str(&format!("[plue: {turns} turns, {tokens} tokens, {cost}]\n"));
        self.printed(text)
    }

    fn end_line(&self) -> String {
        if self.is_mid_line { "\n".to_owned() } else { String::new() }
    }

    fn line(&self, text: &str) -> String {
        format!("{}{text}", if self.is_mid_line { "\n" } else { "" })
    }

    fn printed(&mut self, text: String) -> String {
        if let Some(last) = text.chars().next_back() {
            self.is_mid_line = last != '\n';
        }
        text
    }
}
