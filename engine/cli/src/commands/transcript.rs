//! `plue transcript`: what Claude steps asked, called and answered.

use std::fmt::Write as _;

use clap::Args;
use plue_api::records::transcript::{AgentRecord, TranscriptRecord};

use super::logs::{
    pieces::{Choice, chosen, known_step, whose},
    writer::Whose,
};
use crate::{
    app::App,
    args::Format,
    connect::{Connection, Purpose, connected},
    exit::Exit,
    failure::Outcome,
    output,
    records::{SCHEMA_VERSION, Transcript, TranscriptFact, agent_result},
    render::transcript::Rendered,
    terminal::{Style, sanitize},
};

/// `plue transcript`
#[derive(Debug, Args)]
pub struct TranscriptArgs {
    /// A run id, the beginning of one, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only this step [default: every Claude step]
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// Only this visit of the step, counted from 1 [default: the last one]
    #[arg(long, value_name = "N", requires = "step")]
    pub visit: Option<u32>,
    /// Only this attempt of the visit, counted from 1 [default: the last one]
    #[arg(long, value_name = "N", requires = "step")]
    pub attempt: Option<u32>,
    /// Lines that contain this text, with the numbers of their facts
    #[arg(long, value_name = "TEXT", conflicts_with = "full")]
    pub search: Option<String>,
    /// Long results, prompts and reasoning too, not only their first lines
    #[arg(long)]
    pub full: bool,
    /// Output format of the transcript
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The facts of all attempts that are shown.
#[derive(Debug, Default)]
struct Shown {
    facts: Vec<TranscriptFact>,
}

pub(super) fn run(args: &TranscriptArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| show(connection, args, app).await)
}

async fn show(connection: &Connection, args: &TranscriptArgs, app: &App) -> Outcome {
    let client = &connection.client;
    let run = connection.run(&args.run).await?.id;
    if let Some(step) = &args.step {
        known_step(&client.runs().status(&run).await?, step)?;
    }
    let choice = Choice { visit: args.visit, attempt: args.attempt };
    let search = args.search.as_deref();
    let mut shown = Shown::default();
    for attempt in chosen(client, &run, args.step.as_deref(), choice).await? {
        let agents = client.runs().agents(&run, &attempt.id).await?;
        let agents = agents.into_iter().map(|agent| (agent.id.clone(), Some(label(&agent))));
        for (id, agent) in std::iter::once((attempt.id.clone(), None)).chain(agents) {
            for record in client.runs().transcript(&run, &id, search).await? {
                shown.take(&whose(&attempt), agent.as_deref(), record);
            }
        }
    }
    shown.print(args, app, &run)
}

// === impl Shown ===

impl Shown {
    /// Takes the next fact of an agent; those of one agent come one after the other.
    fn take(&mut self, whose: &Whose, agent: Option<&str>, record: TranscriptRecord) {
        self.facts.push(TranscriptFact {
            step: whose.step.clone(),
            visit: whose.visit,
            attempt: whose.number,
            agent: agent.map(str::to_owned),
            record,
        });
    }

    /// Prints the facts in the format of the options.
    fn print(self, args: &TranscriptArgs, app: &App, run: &str) -> Outcome {
        let results = match args.search {
            Some(_) => Vec::new(),
            None => agent_result::results(&self.facts),
        };
        let (schema_version, run, facts) = (SCHEMA_VERSION, run.to_owned(), self.facts);
        let document = Transcript { schema_version, run, facts, results };
        output::list(args.output, &document, &document.facts, || match &args.search {
            Some(text) => hits(&document.facts, app, text),
            None => conversation(&document.facts, app, args.full),
        })?;
        if document.facts.is_empty() && app.verbosity >= 0 {
            output::report(&match (&args.search, &args.step) {
                (Some(text), _) => format!("{text:?} is nowhere in the transcript"),
                (None, Some(step)) => format!("{step} has no transcript; Claude steps have one"),
                (None, None) => "no Claude step of this run has a transcript".to_owned(),
            });
        }
        Ok(Exit::Ok)
    }
}

/// The name of an agent that another one started: `reviewer 2.1`.
fn label(agent: &AgentRecord) -> String {
    let numbers: Vec<String> = agent.numbers.iter().map(u32::to_string).collect();
    format!("{} {}", agent.name, numbers.join("."))
}

fn conversation(facts: &[TranscriptFact], app: &App, is_whole: bool) -> String {
    let mut text = String::new();
    for of_agent in facts.chunk_by(|a, b| a.place() == b.place()) {
        let title = format!("── {} ──", of_agent[0].place());
        let _infallible = writeln!(text, "{}", app.stdout.paint(Style::Cyan, &title));
        let mut rendered = Rendered::new(app.stdout, is_whole);
        for fact in of_agent {
            text.push_str(&rendered.fact(&fact.record.fact));
        }
    }
    text
}

/// Lines with the text, each with its step and the number of its fact.
fn hits(facts: &[TranscriptFact], app: &App, wanted: &str) -> String {
    let mut text = String::new();
    for fact in facts {
        let place = format!("{}:{}:", fact.place(), fact.record.seq);
        for line in fact.lines().iter().filter(|line| line.contains(wanted)) {
            let place = app.stdout.paint(Style::Cyan, &place);
            let _infallible = writeln!(text, "{place} {}", sanitize(line, false));
        }
    }
    text
}
