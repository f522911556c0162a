//! A log for a viewer.

use jiff::Timestamp;
use plue_dashboard::ansi;
use plue_store::{
    LogHit, LogStat,
    log::{LogLine, LogLines, LogMatches},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HitRecord, LogRecord};

/// Bytes of text in one answer, unless one line has more.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Characters of a group's name.
const MAX_NAME: usize = 200;

/// Lines that begin or end a group, as GitHub, Forgejo, Azure and GitLab print them, and lines that look
/// like errors. Letters of both cases are the same.
pub const MARKS: &str = concat!(
    r"^::(?:end)?group::|^##\[(?:end)?group\]|^(?:\x1b\[0K)?section_(?:start|end):\d+:",
    r"|::error|##\[error\]",
    // Styles may stand before the word and between it and the colon.
    r"|(?:\b|\x1b\[[0-9;]*m)(?:error|fatal|exception|panic)(?:\[\w+\])?(?:\x1b\[[0-9;]*m)*:",
    r"|\bpanicked at\b|^(?:\x1b\[[0-9;]*m)*(?:FAIL|FAILED)\b|^Traceback \(most recent|^npm ERR!",
);

/// Consecutive lines of a log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LinesRecord {
    /// The lines, in order; fewer than asked for if the answer would be too long.
    pub lines: Vec<LineRecord>,
    /// Gaps and notes between them.
    pub remarks: Vec<RemarkRecord>,
    /// The terminal style at the start of the first line, as parameters of SGR; empty: the default.
    /// Styles that were set more than 64 KiB before are not known.
    pub style: String,
    /// The length of the whole log.
    pub log: LogRecord,
}

/// A line of a log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LineRecord {
    /// Its number, from 1.
    pub line: u64,
    /// Offset of its first byte.
    pub byte: u64,
    /// Its bytes, without the line end; more than `text` has if the line is long.
    pub length: u64,
    /// Time of its first byte, by the runner's clock.
    pub at: Timestamp,
    /// `stdout` or `stderr`, of its first byte.
    pub stream: String,
    /// Its first 16 KiB; bytes that are no UTF-8 become U+FFFD.
    pub text: String,
}

/// A remark between two lines of a log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RemarkRecord {
    /// The line that it stands in or before, from 1.
    pub line: u64,
    /// `gap` or `note`.
    pub kind: String,
    /// Reason, and for a gap the missing bytes before it.
    pub text: String,
}

/// Lines of a log that match.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MatchesRecord {
    /// Lines that match, in the part that was searched.
    pub count: u64,
    /// Numbers of the first 10,000 of them, from 1.
    pub lines: Vec<u64>,
    /// The first of them with their text.
    pub hits: Vec<HitRecord>,
    /// Bytes that were searched.
    pub bytes: u64,
    /// Cursor at which the search continues; absent: the log was searched to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Places of interest in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MarksRecord {
    /// Groups, by their first line.
    pub groups: Vec<GroupRecord>,
    /// Lines that look like errors, from 1.
    pub errors: Vec<u64>,
    /// Whether these are all.
    pub complete: bool,
}

/// A group of lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupRecord {
    /// The line with its name, from 1.
    pub line: u64,
    /// Its last line; absent: it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// Name without styles, at most 200 characters.
    pub name: String,
}

// === impl LinesRecord ===

impl LinesRecord {
    /// The record of a window.
    #[must_use]
    pub fn of(found: LogLines, stat: LogStat) -> Self {
        let style = ansi::Style::after(&found.before).to_string();
        let remarks = found.remarks.into_iter().map(|piece| RemarkRecord {
            line: piece.first_line + 1,
            kind: piece.stream.as_str().to_owned(),
            text: String::from_utf8_lossy(&piece.bytes).into_owned(),
        });
        let mut room = MAX_BYTES;
        let lines = found.lines.into_iter().enumerate().take_while(|(at, line)| {
            let fits = *at == 0 || line.bytes.len() <= room;
            room = room.saturating_sub(line.bytes.len());
            fits
        });
        Self {
            remarks: remarks.collect(),
            lines: lines.map(|(_, line)| LineRecord::of(line)).collect(),
            style,
            log: LogRecord::of(stat),
        }
    }
}

// === impl LineRecord ===

impl LineRecord {
    fn of(line: LogLine) -> Self {
        let is_cut = line.length > line.bytes.len() as u64;
        let mut text = line.bytes;
        if is_cut {
            text.truncate(whole_characters(&text));
        }
        Self {
            line: line.number + 1,
            byte: line.first_byte,
            length: line.length,
            at: line.at,
            stream: line.stream.as_str().to_owned(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }
}

/// Bytes before a character that is cut off at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Err(error) if error.error_len().is_none() => {
            bytes.len().saturating_sub(4) + error.valid_up_to()
        }
        _ => bytes.len(),
    }
}

// === impl MatchesRecord ===

impl MatchesRecord {
    /// The record of matches.
    #[must_use]
    pub fn of(found: LogMatches) -> Self {
        let next = found.next.map(|place| match place.in_line {
            true => format!("{}+line", place.byte),
            false => place.byte.to_string(),
        });
        Self {
            count: found.count,
            lines: found.lines.into_iter().map(|line| line + 1).collect(),
            hits: found.hits.iter().map(HitRecord::of).collect(),
            bytes: found.bytes,
            next,
        }
    }
}

// === impl MarksRecord ===

impl MarksRecord {
    /// The groups and errors among matches of [`MARKS`].
    #[must_use]
    pub fn of(found: &LogMatches) -> Self {
        let mut groups: Vec<GroupRecord> = Vec::new();
        let (mut open, mut errors) = (Vec::new(), Vec::new());
        for hit in &found.hits {
            match Mark::of(hit) {
                Mark::Begin(name) => {
                    open.push(groups.len());
                    groups.push(GroupRecord { line: hit.line + 1, end: None, name });
                }
                Mark::End => {
                    if let Some(group) = open.pop().and_then(|at| groups.get_mut(at)) {
                        group.end = Some(hit.line + 1);
                    }
                }
                Mark::Error => errors.push(hit.line + 1),
            }
        }
        let complete = found.next.is_none() && found.count == found.hits.len() as u64;
        Self { groups, errors, complete }
    }
}

enum Mark {
    Begin(String),
    End,
    Error,
}

impl Mark {
    fn of(hit: &LogHit) -> Self {
        let text = String::from_utf8_lossy(&hit.text);
        let text = text.trim_start_matches("\u{1b}[0K");
        let begins_with = |mark: &str| {
            text.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark))
        };
        if ["::endgroup::", "##[endgroup]", "section_end:"].iter().any(|mark| begins_with(mark)) {
            return Self::End;
        }
        let name = |skip: usize| Self::Begin(plain(&text[skip..]));
        match () {
            () if begins_with("::group::") => name(9),
            () if begins_with("##[group]") => name(9),
            () if begins_with("section_start:") => {
                Self::Begin(plain(text.split_once("\u{1b}[0K").map_or(text, |(_, name)| name)))
            }
            () => Self::Error,
        }
    }
}

fn plain(name: &str) -> String {
    ansi::plain(name).trim().chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_nest_and_errors_are_listed() {
        let hit = |line, text: &str| LogHit { line, byte: 0, text: text.as_bytes().to_vec() };
        let hits = vec![
            hit(0, "::group::Build \u{1b}[1mall\u{1b}[0m"),
            hit(2, "section_start:1700000000:tests[collapsed=true]\r\u{1b}[0KTests"),
            hit(3, "error[E0308]: mismatched types"),
            hit(4, "\u{1b}[0Ksection_end:1700000001:tests\r\u{1b}[0K"),
            hit(5, "::ENDGROUP::"),
            hit(6, "::endgroup::"),
            hit(7, "##[group]Open"),
        ];
        let found = LogMatches { count: 7, hits, ..LogMatches::default() };
        let group = |line, end, name: &str| GroupRecord { line, end, name: name.to_owned() };
        assert_eq!(
            MarksRecord::of(&found),
            MarksRecord {
                groups: vec![
                    group(1, Some(6), "Build all"),
                    group(3, Some(5), "Tests"),
                    group(8, None, "Open"),
                ],
                errors: vec![4],
                complete: true,
            }
        );
    }

    #[test]
    fn the_pattern_of_marks_compiles() {
        let form = plue_store::log::PatternForm { is_regex: true, ignores_case: true };
        assert!(plue_store::log::LogPattern::new(MARKS, form).is_ok());
    }

    #[test]
    fn cut_lines_end_with_whole_characters() {
        for (bytes, length) in [("aé", 3), ("é", 2), ("", 0)] {
            assert_eq!(whole_characters(bytes.as_bytes()), length);
        }
        assert_eq!(whole_characters(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&"aaaa🦀".as_bytes()[..7]), 4);
        assert_eq!(whole_characters(b"\xff\xff"), 2);
    }
}
