//! A transcript for people: texts as they are, results folded, the running cost after each answer.
//!
//! Must not let a text act on the terminal.

use plue_llm::{
    Answer, Block, PicoUsd,
    agent::{End, EndReason, Fact, Task},
};
use serde_json::Value as Json;

use crate::terminal::{Style, Terminal, sanitize};

/// Lines of a result, of a prompt or of reasoning that are shown unless everything is.
const FOLDED_LINES: usize = 8;
/// Characters of one folded line.
const FOLDED_WIDTH: usize = 200;

/// Turns the facts of one transcript into text, in order.
#[derive(Debug)]
pub(crate) struct Rendered {
    terminal: Terminal,
    is_whole: bool,
    turns: u32,
    cost: PicoUsd,
    /// Names of called tools by the ids of the calls.
    tools: Vec<(String, String)>,
}

// === impl Rendered ===

impl Rendered {
    /// `is_whole`: nothing is folded.
    pub(crate) fn new(terminal: Terminal, is_whole: bool) -> Self {
        Self { terminal, is_whole, turns: 0, cost: PicoUsd::default(), tools: Vec::new() }
    }

    /// The text of a fact, with line ends.
    pub(crate) fn fact(&mut self, fact: &Json) -> String {
        match serde_json::from_value(fact.clone()) {
            Ok(Fact::Started { task }) => self.started(&task),
            Ok(Fact::Answered { answer, cost }) => self.answered(&answer, cost),
            Ok(Fact::Broke { message, .. }) => {
                self.line(Style::Yellow, &format!("[the answer broke off: {message}]"))
            }
            Ok(Fact::Switched { model, message }) => {
                self.line(Style::Yellow, &format!("[{model} goes on: {message}]"))
            }
            Ok(Fact::RunStarted { id, run }) => {
                let line = format!("[{} ({id}) starts run {}]", self.tool(&id), run.run);
                self.line(Style::Yellow, &line)
            }
            Ok(Fact::Held { id, until }) => {
                let tool = self.tool(&id).to_owned();
                let line = format!("[{tool} ({id}) waits for approval until {until}]");
                self.line(Style::Yellow, &line)
            }
            Ok(Fact::Decided { id, approve, by, message, .. }) => {
                let what = if approve { "approved" } else { "rejected" };
                let by = by.as_ref().map_or(", since no person decided in time".to_owned(), |by| {
                    format!(" by {by}")
                });
                let why = message.map_or(String::new(), |message| format!(": {message}"));
                let line = format!("[{} ({id}) {what}{by}{why}]", self.tool(&id));
                self.line(Style::Yellow, &line)
            }
            Ok(Fact::Result { id, content, is_error }) => self.result(&id, &content, is_error),
            Ok(Fact::Corrected { message }) => self.block(Style::Cyan, "> ", &message, true),
            Ok(Fact::Ended { end }) => self.ended(&end),
            // A newer engine wrote it.
            Err(_) => self.line(Style::Dim, &fact.to_string()),
        }
    }

    fn started(&self, task: &Task) -> String {
        let tools: Vec<_> = task.tools.iter().map(|tool| tool.name.as_str()).collect();
        let tools = if tools.is_empty() { "none".to_owned() } else { tools.join(", ") };
        let mut text = self.line(Style::Dim, &format!("model {}, tools: {tools}", task.model));
        if let Some(system) = &task.system {
            text.push_str(&self.block(Style::Dim, "  ", system, self.is_whole));
        }
        text.push_str(&self.block(Style::Cyan, "> ", &task.prompt, self.is_whole));
        text
    }

    fn answered(&mut self, answer: &Answer, cost: Option<u64>) -> String {
        let mut text = String::new();
        for block in &answer.content {
            text.push_str(&self.answer_block(block));
        }
        for call in answer.tool_calls() {
            self.tools.push((call.id.to_owned(), call.name.to_owned()));
            let input = call.input.map_or_else(
                || "(cut off)".to_owned(),
                |input| Json::Object(input.clone()).to_string(),
            );
            let shown = if self.is_whole { input } else { cut(&input) };
            text.push_str(&self.line(Style::Bold, &format!("▸ {} {shown}", call.name)));
        }
        self.turns += 1;
        self.cost = self.cost.plus(PicoUsd(cost.unwrap_or(0)));
        let read = answer.usage.input_tokens.unwrap_or(0)
            + answer.usage.cache_read_input_tokens.unwrap_or(0)
            + answer.usage.cache_creation_input_tokens.unwrap_or(0);
        let written = answer.usage.output_tokens.unwrap_or(0);
        let (turns, sum) = (self.turns, self.cost);
        let price =
            cost.map_or_else(|| "cost unknown".to_owned(), |cost| PicoUsd(cost).to_string());
        let line =
            format!("[turn {turns}: {read} tokens in, {written} out, {price}; {sum} so far]");
        text.push_str(&self.line(Style::Dim, &line));
        text
    }

    fn answer_block(&self, block: &Block) -> String {
        let field = |name: &str| block.0.get(name).and_then(Json::as_str).unwrap_or_default();
        match block.kind() {
            "text" if field("text").trim().is_empty() => String::new(),
            "text" => self.block(Style::Plain, "", field("text"), true),
            "thinking" if field("thinking").trim().is_empty() => String::new(),
            "thinking" => self.block(Style::Dim, "… ", field("thinking"), self.is_whole),
            "tool_use" => String::new(),
            other => self.line(Style::Dim, &format!("[{other}]")),
        }
    }

    /// Name of the tool of a call.
    fn tool(&self, id: &str) -> &str {
        let name = self.tools.iter().rev().find(|(call, _)| call == id);
        name.map_or("?", |(_, name)| name.as_str())
    }

    fn result(&self, id: &str, content: &str, is_error: bool) -> String {
        let name = self.tool(id);
        let (mark, style) = if is_error { ("✗", Style::Red) } else { ("✓", Style::Green) };
        let mut text = self.line(style, &format!("{mark} {name}"));
        text.push_str(&self.block(Style::Dim, "  ", content, self.is_whole));
        text
    }

    fn ended(&self, end: &End) -> String {
        let mut text = String::new();
        if end.is_partial() {
            text.push_str(&self.line(Style::Yellow, "[partial result]"));
            let output = match &end.output {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            text.push_str(&self.block(Style::Plain, "", &output, true));
        }
        let (style, line) = match end.reason {
            EndReason::Done => (Style::Green, "[done]".to_owned()),
            _ => (Style::Red, format!("[{}]", end.error().unwrap_or_default())),
        };
        text.push_str(&self.line(style, &line));
        text
    }

    /// Lines with something before each, the later ones folded.
    fn block(&self, style: Style, before: &str, text: &str, is_whole: bool) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let most = if is_whole { lines.len() } else { FOLDED_LINES.min(lines.len()) };
        let mut shown = String::new();
        for line in &lines[..most] {
            let line = if is_whole { (*line).to_owned() } else { cut(line) };
            shown.push_str(&self.line(style, &format!("{before}{line}")));
        }
        if most < lines.len() {
            let more = format!("{before}… {} more lines (--full)", lines.len() - most);
            shown.push_str(&self.line(Style::Dim, &more));
        }
        shown
    }

    fn line(&self, style: Style, text: &str) -> String {
        let text = text.replace(['\n', '\r'], " ");
        format!("{}\n", self.terminal.paint(style, &sanitize(&text, false)))
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(FOLDED_WIDTH) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}
