//! `plue doc generate`: a run as a Markdown text, for people who were not there.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use crate::{
    app::App,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{StatusRecord, StepRecord},
    terminal::sanitize,
};

/// Characters of an output that are shown; the rest is in the run.
const MAX_OUTPUT: usize = 4_000;

/// `plue doc`
#[derive(Debug, Subcommand)]
pub enum DocCommand {
    /// Write a report of a run, or of the last run of a task
    Generate(GenerateArgs),
}

/// `plue doc generate`
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The name of a workflow, a run id, the beginning of one, or `last`
    #[arg(value_name = "TASK|RUN")]
    pub task: String,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

pub(super) fn run(command: &DocCommand, app: &App) -> Outcome {
    let DocCommand::Generate(args) = command;
    connected(app, Purpose::Read, async |connection| {
        let run = match connection.client.runs().last_of(&args.task).await? {
            Some(run) => run.id,
            None => connection.run(&args.task).await?.id,
        };
        written(&connection.client.runs().status(&run).await?, args)?;
        Ok(Exit::Ok)
    })
}

/// Writes the report to the file of the options, or to standard output.
fn written(document: &StatusRecord, args: &GenerateArgs) -> Result<(), Failure> {
    let text = report(document, document.goal.as_deref());
    match &args.file {
        None => output::text(&text),
        Some(file) => std::fs::write(file, text).map_err(|error| {
            Failure::usage(format!("{} cannot be written: {error}", file.display()))
        }),
    }
}

fn report(document: &StatusRecord, goal: Option<&str>) -> String {
    let run = &document.run;
    let mut text = format!("# {}: {}\n\n", plain(&run.workflow), run.status);
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _infallible = writeln!(text, "- {name}: {}", plain(value));
        }
    };
    line("goal", goal);
    line("run", Some(&run.id));
    line("plan", Some(&run.plan));
    line("commit", run.sha.as_deref());
    line("branch", run.branch.as_deref());
    line("started", run.started_at.map(|at| at.to_string()).as_deref());
    line("ended", run.ended_at.map(|at| at.to_string()).as_deref());
    line("why", run.reason.as_deref());
    text.push_str("\n## Steps\n\n| step | status | visit | attempts | took | why |\n|---|---|---|---|---|---|\n");
    for step in &document.steps {
        let took = step.duration_ms.map_or("-".to_owned(), |took| format!("{took} ms"));
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} | {took} | {} |",
            step.step,
            step.status,
            step.visit,
            step.attempts,
            plain(step.reason.as_deref().unwrap_or("")),
        );
    }
    for step in &document.steps {
        text.push_str(&put_out(step));
    }
    if let Some(outputs) = &document.outputs {
        text.push_str("\n## Outputs of the run\n\n");
        text.push_str(&fenced(outputs));
    }
    text
}

/// The section of a step that put something out.
fn put_out(step: &StepRecord) -> String {
    match &step.output {
        Json::Null => String::new(),
        Json::String(text) if text.is_empty() => String::new(),
        output => format!("\n## Output of {}\n\n{}", step.step, fenced(output)),
    }
}

/// A value behind a fence that it cannot end.
fn fenced(value: &Json) -> String {
    let (kind, text) = match value.as_str() {
        Some(text) => ("text", text.to_owned()),
        None => ("json", serde_json::to_string_pretty(value).unwrap_or_default()),
    };
    let mut shown: String = text.chars().take(MAX_OUTPUT).collect();
    if shown.len() < text.len() {
        shown.push_str("\n…");
    }
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let lines: Vec<_> = shown.lines().map(|line| sanitize(line, false)).collect();
    format!("{fence}{kind}\n{}\n{fence}\n", lines.join("\n"))
}

/// A value in a line of Markdown: no line of its own, no column of a table.
fn plain(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    sanitize(&line, false).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_reasons_are_escaped_in_documents() {
        let text = fenced(&Json::String("a\n````\n# not a head".to_owned()));
        assert!(text.starts_with("`````text\n") && text.ends_with("\n`````\n"), "{text}");
        assert_eq!(plain("a | b\nc"), "a \\| b c");
    }
}
