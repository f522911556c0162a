//! An explanation as text for people.

use std::fmt::Write as _;

use plue_api::records::story::{Condition, Story, TryRecord};
use plue_flow::{RunStatus, StepStatus};

use crate::{
    app::App,
    records::ExplainRecord,
    render::words,
    terminal::{Style, Terminal, sanitize},
};

/// Characters of a value that a condition read.
const MAX_VALUE: usize = 120;

/// The whole document as text.
pub(super) fn render(document: &ExplainRecord, app: &App) -> String {
    let mut text = Text { out: String::new(), terminal: app.stdout };
    let run = &document.run;
    let took = run.duration_ms.map_or(String::new(), |ms| format!(" in {}", span(ms)));
    let style = run.status.parse::<RunStatus>().map_or(Style::Plain, words::run_style);
    let why = run.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
    text.line(0, style, &format!("run {} {}: {}{took}{why}", run.id, run.workflow, run.status));
    text.line(1, Style::Plain, &format!("event {}", super::super::status::event(&document.event)));
    text.line(1, Style::Plain, &format!("plan {} from {}", run.plan, document.source));
    for event in &document.events {
        text.line(1, Style::Dim, &format!("{} {}", clock(&event.at), event.what));
    }
    for story in &document.steps {
        text.step(story);
    }
    if !document.next.is_empty() {
        text.out.push('\n');
        text.line(0, Style::Bold, "what to do next");
        for command in &document.next {
            text.line(1, Style::Plain, command);
        }
    }
    text.out
}

struct Text {
    out: String,
    terminal: Terminal,
}

// === impl Text ===

impl Text {
    fn line(&mut self, depth: usize, style: Style, text: &str) {
        let text = sanitize(text, false);
        let indent = "  ".repeat(depth);
        let _infallible = writeln!(self.out, "{indent}{}", self.terminal.paint(style, &text));
    }

    fn step(&mut self, story: &Story) {
        let row = &story.row;
        let status: Option<StepStatus> = row.status.parse().ok();
        let style = status.map_or(Style::Plain, words::step_style);
        let sign = status.map_or("?", words::step_sign);
        let took = row.duration_ms.map_or(String::new(), |ms| format!(" in {}", span(ms)));
        let why = row.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
        self.out.push('\n');
        let name = row.name.as_ref().map_or(String::new(), |name| format!(" · {name}"));
        self.line(0, style, &format!("{sign} {}{name} {}{took}{why}", row.step, row.status));
        self.waited(story);
        for condition in &story.conditions {
            self.condition(condition, row.visit > 1);
        }
        for attempt in &story.tries {
            self.attempt(attempt, row.visit > 1);
        }
        // The first line covers a single ended visit.
        let visits = if row.visit > 1 { "" } else { "visit 1 ended" };
        for event in &story.events {
            if visits.is_empty() || !event.what.starts_with(visits) {
                self.line(2, Style::Plain, &format!("{} {}", clock(&event.at), event.what));
            }
        }
        for step in &story.blocked_by {
            let why = step.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
            self.line(2, Style::Plain, &format!("because {} {}{why}", step.step, step.status));
        }
        if !story.last_lines.is_empty() {
            self.line(2, Style::Plain, "last lines of its log:");
            for line in &story.last_lines {
                self.line(3, Style::Dim, line);
            }
        }
    }

    /// Adds the waits of the step, and the one that ended last.
    fn waited(&mut self, story: &Story) {
        let deps = &story.depends_on;
        let open: Vec<_> = deps.iter().filter(|dep| dep.ended_at.is_none()).collect();
        if !open.is_empty() && story.row.status == StepStatus::Pending.as_str() {
            let names: Vec<_> =
                open.iter().map(|dep| format!("{} ({})", dep.step, dep.status)).collect();
            self.line(2, Style::Plain, &format!("waits for {}", names.join(", ")));
            return;
        }
        let Some(last) = deps.iter().max_by(|a, b| a.ended_at.cmp(&b.ended_at)) else { return };
        let Some(ended) = &last.ended_at else { return };
        let others = match deps.len() {
            1 => String::new(),
            count => format!(", the last of {count} dependencies"),
        };
        let what = format!("after {} {}{others}, at {}", last.step, last.status, clock(ended));
        self.line(2, Style::Plain, &what);
    }

    fn condition(&mut self, condition: &Condition, visits: bool) {
        let visit = if visits { format!("visit {}: ", condition.visit) } else { String::new() };
        let value = match (condition.value, &condition.error) {
            (Some(value), _) => format!("was {value}"),
            (None, Some(error)) => format!("could not be evaluated: {error}"),
            (None, None) => "has no value".to_owned(),
        };
        self.line(2, Style::Plain, &format!("{visit}when {} {value}", condition.expression));
        for read in &condition.reads {
            let value: String = read.value.to_string().chars().take(MAX_VALUE).collect();
            self.line(3, Style::Dim, &format!("{} = {value}", read.path));
        }
    }

    fn attempt(&mut self, attempt: &TryRecord, visits: bool) {
        let visit = if visits { format!("visit {}, ", attempt.visit) } else { String::new() };
        let how = attempt.outcome.as_deref().unwrap_or(&attempt.status);
        let took = attempt
            .duration_ms
            .map_or(String::new(), |ms| format!("; its process ran {}", span(ms)));
        let by = attempt.runner.as_ref().map_or(String::new(), |by| format!(", on runner {by}"));
        let at = clock(attempt.started_at.as_deref().unwrap_or(&attempt.queued_at));
        let number = attempt.number;
        self.line(2, Style::Plain, &format!("{visit}attempt {number} at {at}: {how}{took}{by}"));
    }
}

/// The time of day in the zone of the machine.
fn clock(at: &str) -> String {
    let Ok(at) = at.parse::<jiff::Timestamp>() else { return at.to_owned() };
    at.to_zoned(words::zone().clone()).strftime("%H:%M:%S%.3f").to_string()
}

fn span(ms: i64) -> String {
    let zero = jiff::Timestamp::UNIX_EPOCH;
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |at| words::duration(zero, at))
}
