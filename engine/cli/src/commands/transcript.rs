//! `plue transcript`: what Claude steps asked, called and answered.

use std::fmt::Write as _;

use clap::Args;
use plue_api::records::transcript::TranscriptRecord;
use plue_executor::Loaded;
use plue_store::{AttemptRow, Store};

use super::{
    logs::{Attempts, known_step},
    one_run,
};
use crate::{
    app::App,
    args::Format,
    commands::logs::writer::{Whose, name},
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
            read(args, &store, attempt, &mut shown).await?;
        }
        shown.print(args, app, run.as_str())
    })
}

async fn read(
    args: &TranscriptArgs,
    store: &Store,
    attempt: &AttemptRow,
    shown: &mut Shown,
) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let rows = store.transcript_after(&attempt.claim.attempt, after, BATCH).await;
        let rows = rows.map_err(|error| from_store(&error))?;
        let is_last = rows.len() < BATCH as usize;
        for row in rows {
            after = row.seq;
            if args.search.as_ref().is_none_or(|text| row.contains(text)) {
                shown.take(&attempt.into(), row.into());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

// === impl Shown ===

impl Shown {
    /// Takes the next fact of an attempt; those of one attempt come one after the other.
    pub(crate) fn take(&mut self, whose: &Whose, record: TranscriptRecord) {
        self.facts.push(TranscriptFact {
            step: whose.step.clone(),
            visit: whose.visit,
            attempt: whose.number,
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

fn conversation(facts: &[TranscriptFact], app: &App, is_whole: bool) -> String {
    let mut text = String::new();
    for of_attempt in facts.chunk_by(|a, b| a.whose() == b.whose()) {
        let title = format!("── {} ──", name(&of_attempt[0].whose()));
        let _infallible = writeln!(text, "{}", app.stdout.paint(Style::Cyan, &title));
        let mut rendered = Rendered::new(app.stdout, is_whole);
        for fact in of_attempt {
            text.push_str(&rendered.fact(&fact.record.fact));
        }
    }
    text
}

/// Lines with the text, each with its step and the number of its fact.
fn hits(facts: &[TranscriptFact], app: &App, wanted: &str) -> String {
    let mut text = String::new();
    for fact in facts {
        let place = format!("{}:{}:", name(&fact.whose()), fact.record.seq);
        for line in fact.lines().iter().filter(|line| line.contains(wanted)) {
            let place = app.stdout.paint(Style::Cyan, &place);
            let _infallible = writeln!(text, "{place} {}", sanitize(line, false));
        }
    }
    text
}
