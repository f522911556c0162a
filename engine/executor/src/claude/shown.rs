//! The log of an agent: streamed text, reasoning, calls and results in a few words.
//!
//! Must not show a whole result: those are in the transcript.

use plue_llm::{
    Delta,
    agent::{End, Totals},
};

/// Characters of a call's arguments that are shown.
const MAX_SHOWN: usize = 200;

/// Turns pieces of answers into text for the log.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    at: Block,
    /// Arguments of the call that is coming in.
    input: String,
    /// The last character was no line end.
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

// === impl Shown ===

impl Shown {
    /// The text for a piece, perhaps empty.
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

    /// The text after a result.
    pub(crate) fn result(&mut self, tool: &str, content: &str, is_error: bool) -> String {
        let mark = if is_error { "✗" } else { "✓" };
        let lines = content.lines().count();
        let text = self.line(&format!("{mark} {tool}: {lines} lines, {} bytes\n", content.len()));
        self.printed(text)
    }

    /// A line by plue.
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

    /// The line of an engine that goes on with an agent whose answer was under way.
    pub(crate) fn restarted(&mut self) -> String {
        self.note("[plue: another engine goes on; the answer is asked for again]")
    }

    /// A log that goes on behind text of another engine.
    pub(crate) fn behind(is_mid_line: bool) -> Self {
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
