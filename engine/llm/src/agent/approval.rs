//! Approval of calls by people: which calls need it, the arguments as people read them, and the words for
//! the model.
//!
//! A call that is too long to read is refused, never shortened: its approval would be none.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::agent::{Decision, MAX_SHOWN_BYTES, Task, fact::strings};

/// Characters of the id of a call that people are asked about.
const MAX_ID: usize = 128;

/// A call that waits for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Time at which it counts as rejected; `None`: people have not been asked yet.
    pub until: Option<Timestamp>,
}

// === impl Task ===

impl Task {
    /// True if a person has to approve the call. A `git` command that is not a text counts as every
    /// command; `mcp__SERVER` stands for all tools of the server.
    pub(super) fn needs_approval(&self, name: &str, input: &Map<String, Json>) -> bool {
        let command = input.get("command").and_then(Json::as_str);
        self.approval.approve.iter().any(|approve| {
            let of_git = approve.strip_prefix("git_").filter(|_| name == "git");
            let of_server = approve.starts_with("mcp__")
                && name.strip_prefix(approve.as_str()).is_some_and(|tool| tool.starts_with("__"));
            approve == name
                || of_server
                || of_git.is_some_and(|of| command.is_none_or(|command| command == of))
        })
    }
}

/// The reason not to ask people about a call; none if they can read and name it.
pub(super) fn unreadable(id: &str, input: &Map<String, Json>) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.is_empty() || id.len() > MAX_ID || !id.chars().all(is_plain) {
        return Some("a person has to approve it, and its id is not a plain word".to_owned());
    }
    let length = shown_arguments(input, &mut |_| ()).len();
    (length > MAX_SHOWN_BYTES).then(|| {
        format!(
            "a person has to read and approve its arguments, and they have {length} bytes; make calls \
             with at most {MAX_SHOWN_BYTES}"
        )
    })
}

/// Arguments as people read them: JSON of one line, in which each character that moves, hides or
/// reorders others is an escape. `mask` is applied to each text first.
pub fn shown_arguments(input: &Map<String, Json>, mask: &mut impl FnMut(&mut String)) -> String {
    let mut value = Json::Object(input.clone());
    strings(&mut value, mask);
    let json = value.to_string();
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// The result of a rejected call, for the model.
pub(super) fn rejection(decision: &Decision) -> String {
    let Decision { by, message, .. } = decision;
    let Some(by) = by else {
        return "Not carried out: no person decided about this call in time.".to_owned();
    };
    let why = message.as_ref().map_or(String::new(), |message| format!(": {message}"));
    format!("Not carried out: rejected by {by}{why}")
}

/// Controls, separators of lines, directions, zero widths, variations and tags.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}
