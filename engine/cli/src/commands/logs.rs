//! `plue logs`: what the steps of a run printed.

use std::io;

use plue_executor::Loaded;
use plue_plan::{RunId, StepId};
use plue_store::{AttemptRow, LogPosition, Store};

use super::one_run;
use crate::{
    app::App,
    args::{Format, LogsArgs},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    follow::{FollowError, Follower},
    output,
    records::LogLine,
    render::live::Live,
    wiring,
};

pub(crate) mod printed;
mod raw;
pub(crate) mod writer;

use printed::{Hits, Printed};

/// Bytes read from a log at once.
const PAGE: u64 = 1024 * 1024;
/// Lines that a search finds at once.
const PAGE_HITS: usize = 1_000;

pub(super) fn run(args: &LogsArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let loaded = Loaded::read(&store, &run).await.map_err(|error| from_executor(&error))?;
        let step = args.step.as_deref().map(|step| known_step(&loaded, step)).transpose()?;
        let attempts = Attempts { visit: args.visit, number: args.attempt };
        if let Some(text) = &args.search {
            let attempts = attempts.of(&store, &run, step.as_ref()).await?;
            return search(args, app, &store, &run, &attempts, text).await;
        }
        match (args.follow, &step, args.output) {
            (true, None, Format::Table) => follow_run(app, &store, &run, &loaded).await,
            (true, Some(step), Format::Table) => raw::follow(app, &store, &run, step).await,
            (true, _, Format::Json | Format::Jsonl) => {
                Err(Failure::usage("--follow prints the log itself; leave out --output"))
            }
            (false, _, _) => {
                let attempts = attempts.of(&store, &run, step.as_ref()).await?;
                print(args, app, &store, &run, &attempts).await
            }
        }
    })
}

/// The step of this id, hooks included.
pub(super) fn known_step(loaded: &Loaded, id: &str) -> Result<StepId, Failure> {
    let steps: Vec<&StepId> = loaded.plan.all_steps().map(|step| &step.id).collect();
    if let Some(step) = steps.iter().find(|step| step.as_str() == id) {
        return Ok((*step).clone());
    }
    let near = plue_plan::validate::did_you_mean(id, steps.iter().map(|step| step.as_str()));
    let names: Vec<_> = steps.iter().take(20).map(|step| step.as_str()).collect();
    Err(Failure::not_found(format!("run {} has no step `{id}`", loaded.row.id)).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its steps are {}", names.join(", ")),
    }))
}

/// Attempts of a step; `None`: the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempts {
    pub(super) visit: Option<u32>,
    pub(super) number: Option<u32>,
}

impl Attempts {
    /// The attempts that are asked for: all of the run, or of a step one.
    pub(super) async fn of(
        self,
        store: &Store,
        run: &RunId,
        step: Option<&StepId>,
    ) -> Result<Vec<AttemptRow>, Failure> {
        let all = store.attempts().list(run, step).await.map_err(|error| from_store(&error))?;
        let Some(step) = step else { return Ok(all) };
        if all.is_empty() {
            output::say(&format!("{step} has not run"));
            return Ok(all);
        }
        let visit = self.visit.or_else(|| all.iter().map(|attempt| attempt.visit).max());
        let of_visit = all.into_iter().filter(|attempt| Some(attempt.visit) == visit);
        let of_visit: Vec<_> = of_visit.collect();
        let last = of_visit.iter().map(|attempt| attempt.number).max();
        let Some(last) = last else {
            let visit = visit.unwrap_or_default();
            return Err(Failure::not_found(format!("{step} has no visit {visit}"))
                .hint(format!("its visits: plue explain {run} {step}")));
        };
        let number = self.number.unwrap_or(last);
        let found = of_visit.into_iter().filter(|attempt| attempt.number == number);
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(Failure::not_found(format!("{step} has no attempt {number}"))
                .hint(format!("the last one is {last}")));
        }
        Ok(found)
    }
}

async fn print(
    args: &LogsArgs,
    app: &App,
    store: &Store,
    run: &RunId,
    attempts: &[AttemptRow],
) -> Outcome {
    let mut printed = Printed::new(args, app, attempts.iter().map(Into::into));
    for attempt in attempts {
        let mut writer = printed.begin(attempt.into());
        raw::read(store, attempt, args.tail, |piece| writer.take(piece)).await?;
        printed.ended(writer)?;
    }
    printed.end(run.as_str())
}

/// Lines with the text, as `grep -n` shows them.
async fn search(
    args: &LogsArgs,
    app: &App,
    store: &Store,
    run: &RunId,
    attempts: &[AttemptRow],
    text: &str,
) -> Outcome {
    let mut hits = Hits::default();
    for attempt in attempts {
        let mut next = Some(LogPosition::default());
        while let Some(place) = next.filter(|_| !hits.is_full()) {
            let id = &attempt.claim.attempt;
            let found =
                store.log_search().lines(id, text.as_bytes(), place, (PAGE_HITS, PAGE)).await;
            let found = found.map_err(|error| from_store(&error))?;
            for hit in found.hits {
                hits.take(LogLine {
                    step: attempt.step.to_string(),
                    visit: attempt.visit,
                    attempt: attempt.number,
                    line: hit.line + 1,
                    text: String::from_utf8_lossy(&hit.text).into_owned(),
                });
            }
            next = found.next;
        }
    }
    hits.print(args, app, (run.as_str(), text))
}

/// All steps as they print, and what becomes of them.
async fn follow_run(app: &App, store: &Store, run: &RunId, loaded: &Loaded) -> Outcome {
    let steps: Vec<_> = loaded.plan.all_steps().map(|step| step.id.clone()).collect();
    let names = steps.iter().map(StepId::as_str);
    store.watch_others();
    let live = Live::new(io::stdout(), app.stdout, names, false);
    match Follower::new(store, run, live, steps).until_end().await {
        Ok(_) => Ok(Exit::Ok),
        Err(FollowError::Output(error)) => Err(output::refused(&error)),
        Err(FollowError::Store(error)) => Err(from_store(&error)),
    }
}
