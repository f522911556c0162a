//! The log of an attempt: complete as HTML up to [`WHOLE_LINES`], a window of lines of a larger one.
//!
//! `assets/log.js` adds following, search, folding and, for large logs, rows for the part on screen.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    ansi::{self, Style},
    shell::{Page, Section},
    state::State,
    ui::{self, text},
};

/// Lines of a log that is in the page as a whole.
pub const WHOLE_LINES: u64 = 5_000;
/// Bytes of such a log.
pub const WHOLE_BYTES: u64 = 2 * 1024 * 1024;
/// Lines of a window in a page of a larger log.
pub const WINDOW_LINES: u64 = 500;
/// Commands of groups, as GitHub and Azure read them; `log-window.js` has the same.
const SIGNS: &[&str] = &["::group::", "::endgroup::", "##[group]", "##[endgroup]"];
/// Lines that a browser lays out together.
const CLUSTER: usize = 50;

/// The step and the attempt that a page is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptHead {
    /// Id of the run.
    pub run: String,
    /// Workflow of the run.
    pub workflow: String,
    /// Id of the step.
    pub step: String,
    /// Id of the attempt.
    pub attempt: String,
    /// State of the attempt.
    pub state: State,
    /// All attempts of the step: id, label, state.
    pub attempts: Vec<(String, String, State)>,
    /// Whether the step is a conversation with Claude.
    pub is_agent: bool,
    /// Number of the run's last fact.
    pub seq: u64,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Time of its first byte.
    pub at: Timestamp,
    /// Bytes of the whole line.
    pub length: u64,
    /// Offset of its first byte.
    pub byte: u64,
    /// Whether it was printed to standard error.
    pub is_stderr: bool,
    /// Its first bytes.
    pub text: String,
}

/// A remark before a line: bytes that are missing, or the runner's note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The line, from 1.
    pub line: u64,
    /// Words that the page shows.
    pub text: String,
}

/// Lines of a log, and the length of the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// Consecutive lines.
    pub lines: Vec<Line>,
    /// Remarks between the lines, in order.
    pub remarks: Vec<Remark>,
    /// Style at the start of the first line, as parameters of SGR.
    pub style: String,
    /// Lines of the whole log.
    pub total: u64,
    /// Bytes of the whole log.
    pub bytes: u64,
    /// Whether nothing more will come.
    pub ended: bool,
    /// Number that the stream continues behind.
    pub seq: u64,
}

/// The page of a log.
#[must_use]
pub fn page(head: &AttemptHead, window: &Window) -> Page {
    let title = format!("Log of {}", head.step);
    let page = Page::new(
        title,
        html! {
            (header(head, Tab::Log))
            (viewer(head, window))
        },
    );
    let page = page.section(Section::Runs).state(head.state).style("log.css").module("log.js");
    page.follow(format!("run:{}", head.run), head.seq)
}

/// View of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// The lines that it printed.
    Log,
    /// The conversation with Claude.
    Agent,
}

/// Title, attempts and views of an attempt.
#[must_use]
pub fn header(head: &AttemptHead, tab: Tab) -> Markup {
    let run = format!("/runs/{}", head.run);
    let view = |tab: Tab, attempt: &str| match tab {
        Tab::Log => format!("{run}/attempts/{attempt}/log"),
        Tab::Agent => format!("{run}/attempts/{attempt}/agent"),
    };
    html! {
        nav.crumbs aria-label="Breadcrumb" {
            a href=(run) { (text::name(&head.workflow)) }
            span aria-hidden="true" { "/" }
            span { (text::name(&head.step)) }
        }
        div.head {
            h1 { (text::name(&head.step)) }
            (head.state.mark())
            div.actions {
                @if head.is_agent {
                    nav.tabs aria-label="Views" {
                        @for (other, name) in [(Tab::Agent, "Conversation"), (Tab::Log, "Log")] {
                            a href=(view(other, &head.attempt))
                                aria-current=[(other == tab).then_some("page")] { (name) }
                        }
                    }
                }
                @if head.attempts.len() > 1 {
                    details.menu {
                        summary { "Attempts" }
                        div.menu-body {
                            @for (id, label, state) in &head.attempts {
                                p.row {
                                    (state.icon())
                                    a href=(view(tab, id))
                                        aria-current=[(*id == head.attempt).then_some("page")] {
                                        (text::name(label))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn viewer(head: &AttemptHead, window: &Window) -> Markup {
    let is_whole = window.is_whole();
    let api = format!("/api/v1/runs/{}/attempts/{}/log", head.run, head.attempt);
    html! {
        section #log .log data-keep data-api=(api) data-topic=(format!("log:{}:{}", head.run, head.attempt))
            data-lines=(window.total) data-bytes=(window.bytes) data-seq=(window.seq)
            data-style=(window.style) data-first=(window.first()) data-ended=[window.ended.then_some("")]
            data-whole=[is_whole.then_some("")] {
            (bar(head, &api, window))
            p #log-status .hidden role="status" {}
            @if window.total == 0 {
                p #log-empty .empty.muted {
                    @if window.ended { "This step printed nothing." } @else { "Nothing printed yet." }
                }
            }
            div #log-box .log-box.is-whole[is_whole] tabindex="0" role="region"
                aria-label=(format!("Log of {}", text::bounded(&head.step, text::NAME))) {
                (rows(window))
            }
            button #log-new .log-new type="button" hidden {}
            @if !is_whole { (pager(head, window)) }
        }
    }
}

fn bar(head: &AttemptHead, api: &str, window: &Window) -> Markup {
    let lines = usize::try_from(window.total).unwrap_or(usize::MAX);
    html! {
        div.log-bar {
            form.log-find role="search" hidden data-script {
                input #log-query type="search" data-filter placeholder="Search the log"
                    aria-label="Search the log" autocomplete="off" spellcheck="false" maxlength="1000";
                label.log-option title="Regular expression" {
                    input #log-regex type="checkbox"; ".*"
                    span.hidden { " regular expression" }
                }
                label.log-option title="Match case" {
                    input #log-case type="checkbox"; "Aa"
                    span.hidden { " match case" }
                }
                output #log-count .muted.nums for="log-query" {}
                button.plain #log-prev type="button" title="Previous match" aria-label="Previous match" { "↑" }
                button.plain #log-next type="button" title="Next match" aria-label="Next match" { "↓" }
            }
            span #log-length .muted.nums { (ui::counted(lines, "line")) }
            div.log-tools {
                span #log-errors .row hidden {
                    span.bad.nums #log-error-count {}
                    button.plain #log-error-prev type="button" title="Previous error (p)" aria-label="Previous error" { "↑" }
                    button.plain #log-error-next type="button" title="Next error (n)" aria-label="Next error" { "↓" }
                }
                button #log-copy type="button" hidden { "Copy lines" }
                button.plain #log-fold type="button" hidden { "Fold groups" }
                button.plain #log-times type="button" aria-pressed="false" hidden data-script { "Timestamps" }
                @if !window.ended {
                    button.plain #log-follow type="button" aria-pressed="false" hidden data-script { "Follow" }
                }
                a.button.plain href=(format!("{api}/download")) download
                    aria-label=(format!("Download the log of {}", text::bounded(&head.step, text::NAME))) {
                    "Download"
                }
            }
        }
    }
}

/// The lines as HTML, in clusters.
fn rows(window: &Window) -> Markup {
    let mut style = Style::default();
    style.apply(&window.style);
    let mut remarks = window.remarks.iter().peekable();
    html! {
        @for cluster in window.lines.chunks(CLUSTER) {
            div.cl {
                @for line in cluster {
                    @while let Some(remark) = remarks.next_if(|remark| remark.line <= line.number) {
                        p.remark { (text::bounded(&remark.text, text::LINE)) }
                    }
                    (row(line, &mut style))
                }
            }
        }
        @for remark in remarks { p.remark { (text::bounded(&remark.text, text::LINE)) } }
    }
}

fn row(line: &Line, style: &mut Style) -> Markup {
    let id = format!("L{}", line.number);
    let is_cut = line.length > line.text.len() as u64;
    html! {
        div.ln.err[line.is_stderr] id=(id) {
            a.no href={ "#" (id) } tabindex="-1" data-n=(line.number)
                aria-label=(format!("Line {}", line.number)) {}
            span.tx data-t=(line.at.strftime("%H:%M:%S%.3f")) {
                @if is_cut { span.cut data-byte=(line.byte) data-length=(line.length) { (size(line.length)) " line" } }
                (content(line, style))
            }
        }
    }
}

/// The text of a line. The command that begins a group is there for those who copy it, out of sight.
fn content(line: &Line, style: &mut Style) -> Markup {
    let sign = sign(&line.text);
    html! {
        @if !sign.is_empty() { span.sign { (sign) } }
        (ansi::markup(style, &line.text[sign.len()..]))
    }
}

/// The command at the start of a line that begins or ends a group.
fn sign(text: &str) -> &str {
    let starts =
        |sign: &&&str| text.get(..sign.len()).is_some_and(|start| start.eq_ignore_ascii_case(sign));
    SIGNS.iter().find(starts).map_or("", |sign| &text[..sign.len()])
}

/// Neighbouring windows, for browsers without scripts.
fn pager(head: &AttemptHead, window: &Window) -> Markup {
    let first = window.first();
    let at = |line: u64| format!("/runs/{}/attempts/{}/log?line={line}", head.run, head.attempt);
    let last = window.total.saturating_sub(WINDOW_LINES) + 1;
    html! {
        noscript {
            nav.row aria-label="Parts of the log" {
                a.button href=(at(1)) { "First" }
                @if first > 1 {
                    a.button href=(at(first.saturating_sub(WINDOW_LINES).max(1))) { "Before" }
                }
                @if first < last { a.button href=(at(first + WINDOW_LINES)) { "After" } }
                a.button href=(at(last)) { "Last" }
            }
        }
    }
}

/// Bytes in a unit that people read.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        ..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

// === impl Window ===

impl Window {
    /// Whether the page has all lines.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.total <= WHOLE_LINES
            && self.bytes <= WHOLE_BYTES
            && self.lines.len() as u64 == self.total
    }

    fn first(&self) -> u64 {
        self.lines.first().map_or(1, |line| line.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &str) -> Line {
        Line {
            number,
            at: Timestamp::UNIX_EPOCH,
            length: text.len() as u64,
            byte: 0,
            is_stderr: false,
            text: text.to_owned(),
        }
    }

    #[test]
    fn rows_carry_styles_and_never_markup() {
        let lines = vec![line(1, "\u{1b}[31m<script>"), line(2, "still red\u{202e}")];
        let window = Window { lines, total: 2, bytes: 20, ..Window::default() };
        let html = rows(&window).into_string();
        assert!(html.contains(r#"<span class="f1">&lt;script&gt;</span>"#), "{html}");
        assert!(html.contains(r#"<span class="f1">still red</span>"#), "{html}");
        assert!(html.contains(r"\u{202e}") && !html.contains('\u{202e}'), "{html}");
        assert!(html.contains(r#"id="L2""#) && html.contains(r#"data-n="2""#), "{html}");
    }

    #[test]
    fn commands_of_groups_are_out_of_sight() {
        let lines =
            vec![line(1, "::group::Compile <b>"), line(2, "::ENDGROUP::"), line(3, "a ::group::")];
        let window = Window { lines, total: 3, bytes: 20, ..Window::default() };
        let html = rows(&window).into_string();
        for part in [
            r#"<span class="sign">::group::</span>Compile &lt;b&gt;</span>"#,
            r#"<span class="sign">::ENDGROUP::</span></span>"#,
            ">a ::group::</span>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn large_logs_are_windows() {
        let whole = Window { lines: vec![line(1, "a")], total: 1, ..Window::default() };
        assert!(whole.is_whole());
        assert!(!Window { total: 2, ..whole.clone() }.is_whole());
        assert!(!Window { bytes: WHOLE_BYTES + 1, ..whole }.is_whole());
    }

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in [(999, "999 B"), (16_384, "16.3 kB"), (10_485_760, "10.4 MB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
