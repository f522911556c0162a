//! `plue transcript`: what Claude steps asked, called and answered.

use std::fmt::Write as _;

use clap::Args;
use plue_api::records::transcript::{AgentRecord, TranscriptRecord};
use plue_executor::Loaded;
use plue_plan::AttemptId;
use plue_store::{AttemptRow, Store};

use super::{
    logs::{Attempts, known_step},
    one_run,
};
use crate::{
    app::App,
    args::Format,
    commands::logs::writer::Whose,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output,
    records::{SCHEMA_VERSION, Transcript, TranscriptFact},
    render::transcript::Rendered,
    terminal::{Style, sanitize},
    wiring,
};

/// Facts read at once.
const BATCH: u32 = 100;

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
    /// How the transcript is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The facts of all attempts that are shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    facts: Vec<TranscriptFact>,
}

pub(super) fn run(args: &TranscriptArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let loaded = Loaded::read(&store, &run).await.map_err(|error| from_executor(&error))?;
        let step = args.step.as_deref().map(|step| known_step(&loaded, step)).transpose()?;
        let wanted = Attempts { visit: args.visit, number: args.attempt };
        let attempts = wanted.of(&store, &run, step.as_ref()).await?;
        let mut shown = Shown::default();
        for attempt in &attempts {
            let below = store.transcripts().agents_of(&run, &attempt.claim.attempt).await;
            read(args, &store, (attempt, &attempt.claim.attempt), &mut shown).await?;
            for id in below.map_err(|error| from_store(&error))? {
                read(args, &store, (attempt, &id), &mut shown).await?;
            }
        }
        shown.print(args, app, run.as_str())
    })
}

async fn read(
    args: &TranscriptArgs,
    store: &Store,
    (attempt, id): (&AttemptRow, &AttemptId),
    shown: &mut Shown,
) -> Result<(), Failure> {
    let (mut after, mut agent) = (0, None);
    loop {
        let rows = store.transcripts().after(id, after, BATCH).await;
        let rows = rows.map_err(|error| from_store(&error))?;
        let is_last = rows.len() < BATCH as usize;
        for row in rows {
            if after == 0 {
                agent = (id != &attempt.claim.attempt)
                    .then(|| label(&AgentRecord::of(id, Some(row.clone()))));
            }
            after = row.seq;
            if args.search.as_ref().is_none_or(|text| row.contains(text)) {
                shown.take(&attempt.into(), agent.as_deref(), row.into());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

// === impl Shown ===

impl Shown {
    /// Takes the next fact of an agent; those of one agent come one after the other.
    pub(crate) fn take(&mut self, whose: &Whose, agent: Option<&str>, record: TranscriptRecord) {
        self.facts.push(TranscriptFact {
            step: whose.step.clone(),
            visit: whose.visit,
            attempt: whose.number,
            agent: agent.map(str::to_owned),
            record,
        });
    }

    /// Prints the facts as they were asked for.
    pub(crate) fn print(self, args: &TranscriptArgs, app: &App, run: &str) -> Outcome {
        let document =
            Transcript { schema_version: SCHEMA_VERSION, run: run.to_owned(), facts: self.facts };
        output::list(args.output, &document, &document.facts, || match &args.search {
            Some(text) => hits(&document.facts, app, text),
            None => conversation(&document.facts, app, args.full),
        })?;
        if document.facts.is_empty() && app.verbosity >= 0 {
            output::say(&match (&args.search, &args.step) {
                (Some(text), _) => format!("{text:?} is nowhere in the transcript"),
                (None, Some(step)) => format!("{step} has no transcript; Claude steps have one"),
                (None, None) => "no Claude step of this run has a transcript".to_owned(),
            });
        }
        Ok(Exit::Ok)
    }
}

/// The name of an agent that another one started: `reviewer 2.1`.
pub(crate) fn label(agent: &AgentRecord) -> String {
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
