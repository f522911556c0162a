//! `plue logs` of a run of a server.

use std::{collections::BTreeSet, io, pin::pin};

use futures::StreamExt as _;
use plue_api::records::{
    AttemptRecord, Page, PieceRecord, RunHitRecord, RunRecord, told::StatusRecord,
};
use plue_store::{LogPiece, LogStream};

use super::{
    client::{Client, encoded},
    events,
    follow::{Follower, Until},
};
use crate::{
    app::App,
    args::{Format, LogsArgs},
    commands::logs::{
        printed::{Hits, Printed},
        writer::{Shape, Whose, Writer},
    },
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::LogLine,
    render::live::Live,
};

pub(super) async fn run(client: &Client, args: &LogsArgs, app: &App) -> Outcome {
    let run = client.one_run(&args.run).await?.id;
    let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
    if let Some(step) = &args.step {
        known_step(&told, step)?;
    }
    let attempts = || chosen(client, &run, args.step.as_deref(), (args.visit, args.attempt));
    if let Some(text) = &args.search {
        let attempts = attempts().await?;
        return search(client, args, app, (&run, &attempts, text)).await;
    }
    match (args.follow, &args.step, args.output) {
        (true, None, Format::Table) => {
            let names = told.steps.iter().map(|step| step.step.as_str());
            let live = Live::new(io::stdout(), app.stdout, names, false);
            Follower::new(client, &run, live).until(Until::End).await?;
            Ok(Exit::Ok)
        }
        (true, Some(step), Format::Table) => follow_step(client, app, &run, step).await,
        (true, _, Format::Json | Format::Jsonl) => {
            Err(Failure::usage("--follow prints the log itself; leave out --output"))
        }
        (false, _, _) => {
            let attempts = attempts().await?;
            print(client, args, app, (&run, &attempts)).await
        }
    }
}

/// The path of something about a log.
pub(super) fn path(run: &str, attempt: &str, what: &str) -> String {
    format!("/api/v1/runs/{run}/attempts/{attempt}/log/{what}")
}

/// Whether a piece is something that the step printed.
pub(super) fn is_output(piece: &PieceRecord) -> bool {
    matches!(piece.stream.as_str(), "stdout" | "stderr")
}

/// The bytes of a piece.
pub(super) fn bytes(piece: &PieceRecord) -> Result<Vec<u8>, Failure> {
    match (&piece.text, &piece.hex) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(hex)) => hex::decode(hex).map_err(|error| Failure::infrastructure(&error)),
        (None, None) => Ok(Vec::new()),
    }
}

/// As the store would have given it.
fn piece(record: &PieceRecord) -> Result<LogPiece, Failure> {
    let stream = match record.stream.as_str() {
        "stdout" => LogStream::Stdout,
        "stderr" => LogStream::Stderr,
        "gap" => LogStream::Gap,
        _ => LogStream::Note,
    };
    Ok(LogPiece {
        seq: record.seq,
        at: record.at,
        stream,
        first_byte: record.first_byte,
        first_line: record.first_line.saturating_sub(1),
        bytes: bytes(record)?,
    })
}

pub(super) fn whose(attempt: &AttemptRecord) -> Whose {
    Whose { step: attempt.step.clone(), visit: attempt.visit, number: attempt.number }
}

pub(super) fn known_step(told: &StatusRecord, id: &str) -> Result<(), Failure> {
    let steps = told.steps.iter().map(|step| step.step.as_str());
    if steps.clone().any(|step| step == id) {
        return Ok(());
    }
    let near = plue_plan::validate::did_you_mean(id, steps.clone());
    let names: Vec<_> = steps.take(20).collect();
    Err(Failure::not_found(format!("run {} has no step `{id}`", told.run.id)).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its steps are {}", names.join(", ")),
    }))
}

/// The attempts that are asked for: all of the run, or of a step one: of the visit and number asked
/// for, otherwise the last.
pub(super) async fn chosen(
    client: &Client,
    run: &str,
    step: Option<&str>,
    (visit, number): (Option<u32>, Option<u32>),
) -> Result<Vec<AttemptRecord>, Failure> {
    let mut all: Vec<AttemptRecord> = client.get(&format!("/api/v1/runs/{run}/attempts")).await?;
    let Some(step) = step else { return Ok(all) };
    all.retain(|attempt| attempt.step == step);
    if all.is_empty() {
        output::say(&format!("{step} has not run"));
        return Ok(all);
    }
    let visit = visit.or_else(|| all.iter().map(|attempt| attempt.visit).max());
    all.retain(|attempt| Some(attempt.visit) == visit);
    let Some(last) = all.iter().map(|attempt| attempt.number).max() else {
        let visit = visit.unwrap_or_default();
        return Err(Failure::not_found(format!("{step} has no visit {visit}")));
    };
    let number = number.unwrap_or(last);
    all.retain(|attempt| attempt.number == number);
    if all.is_empty() {
        return Err(Failure::not_found(format!("{step} has no attempt {number}"))
            .hint(format!("the last one is {last}")));
    }
    Ok(all)
}

async fn print(
    client: &Client,
    args: &LogsArgs,
    app: &App,
    (run, attempts): (&str, &[AttemptRecord]),
) -> Outcome {
    let mut printed = Printed::new(args, app, attempts.iter().map(whose));
    for attempt in attempts {
        let mut writer = printed.begin(whose(attempt));
        read(client, (run, &attempt.id), args.tail, &mut writer).await?;
        printed.ended(writer)?;
    }
    printed.end(run)
}

/// Hands over the pieces of a log, or of its last lines.
async fn read(
    client: &Client,
    (run, attempt): (&str, &str),
    tail: Option<u64>,
    writer: &mut Writer,
) -> Result<(), Failure> {
    let path = path(run, attempt, "pieces");
    let mut query = tail.map_or_else(String::new, |lines| format!("?tail={lines}"));
    loop {
        let page: Page<PieceRecord> = client.get(&format!("{path}{query}")).await?;
        for record in &page.items {
            writer.take(&piece(record)?)?;
        }
        match page.next {
            Some(next) => query = format!("?after={}", encoded(&next)),
            None => return Ok(()),
        }
    }
}

/// Lines with the text, as `grep -n` shows them.
async fn search(
    client: &Client,
    args: &LogsArgs,
    app: &App,
    (run, attempts, text): (&str, &[AttemptRecord], &str),
) -> Outcome {
    let mut hits = Hits::default();
    let mut path = format!("/api/v1/runs/{run}/log/search?limit=200&q={}", encoded(text));
    if args.step.is_some() {
        // Of a step one attempt was chosen, or none.
        match attempts {
            [one, ..] => path.push_str(&format!("&attempt={}", encoded(&one.id))),
            [] => return hits.print(args, app, (run, text)),
        }
    }
    let mut cursor = String::new();
    while !hits.is_full() {
        let page: Page<RunHitRecord> = client.get(&format!("{path}{cursor}")).await?;
        for RunHitRecord { step, visit, attempt, hit, .. } in page.items {
            hits.take(LogLine { step, visit, attempt, line: hit.line, text: hit.text });
        }
        let Some(next) = page.next else { break };
        cursor = format!("&cursor={}", encoded(&next));
    }
    hits.print(args, app, (run, text))
}

/// Prints the log of a step until the run ends, each attempt after the one before it.
async fn follow_step(client: &Client, app: &App, run: &str, step: &str) -> Outcome {
    let shape = if app.stdout.interactive { Shape::Clean } else { Shape::Raw };
    let mut done: BTreeSet<String> = BTreeSet::new();
    let facts = events::of::<serde_json::Value>(client, format!("/api/v1/runs/{run}/events"));
    let mut facts = pin!(facts.fuse());
    loop {
        // Before the attempts: if the run has ended, the list of attempts is complete.
        let row: RunRecord = client.get(&format!("/api/v1/runs/{run}")).await?;
        let attempts: Vec<AttemptRecord> =
            client.get(&format!("/api/v1/runs/{run}/attempts")).await?;
        let mut of_step = attempts.iter().filter(|attempt| attempt.step == step);
        match of_step.find(|attempt| !done.contains(&attempt.id)) {
            Some(attempt) => {
                let mut writer = Writer::new(shape, whose(attempt), app);
                let path = path(run, &attempt.id, "events");
                let mut pieces = pin!(events::of::<PieceRecord>(client, path));
                while let Some(record) = pieces.next().await {
                    writer.take(&piece(&record?)?)?;
                }
                writer.end()?;
                done.insert(attempt.id.clone());
            }
            None if row.ended_at.is_some() => return Ok(Exit::Ok),
            None => drop(facts.next().await.transpose()?),
        }
    }
}

/// The last lines of a log.
pub(super) async fn last_lines(
    client: &Client,
    run: &str,
    attempt: &AttemptRecord,
    lines: u64,
) -> Result<Vec<u8>, Failure> {
    let path = path(run, &attempt.id, "pieces");
    let page: Page<PieceRecord> = client.get(&format!("{path}?tail={lines}")).await?;
    let mut all = Vec::new();
    for record in page.items.iter().filter(|record| is_output(record)) {
        all.extend(bytes(record)?);
    }
    Ok(all)
}
