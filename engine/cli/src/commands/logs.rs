//! `plue logs`: the output of the steps of a run.

use std::{collections::BTreeSet, io, pin::pin};

use futures::StreamExt as _;
use plue_api::records::{AttemptRecord, RunHitRecord};
use plue_client::Client;

use crate::{
    app::App,
    args::{Format, LogsArgs},
    connect::{Connection, Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    follow::{Follower, Until},
    output,
    records::LogLine,
    render::live::Live,
};

pub(crate) mod pieces;
pub(crate) mod printed;
pub(crate) mod writer;

use pieces::{Choice, chosen, known_step, whose};
use printed::{Hits, Printed};
use writer::{Shape, Writer};

pub(super) fn run(args: &LogsArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| show(connection, args, app).await)
}

async fn show(connection: &Connection, args: &LogsArgs, app: &App) -> Outcome {
    let client = &connection.client;
    let run = connection.run(&args.run).await?.id;
    let status = client.runs().status(&run).await?;
    if let Some(step) = &args.step {
        known_step(&status, step)?;
    }
    let choice = Choice { visit: args.visit, attempt: args.attempt };
    let attempts = || chosen(client, &run, args.step.as_deref(), choice);
    if let Some(text) = &args.search {
        let found = search(client, args, &run, &attempts().await?, text).await?;
        return found.print(args, app, &run, text);
    }
    match (args.follow, &args.step, args.output) {
        (true, None, Format::Table) => {
            connection.follow();
            let names = status.steps.iter().map(|step| step.step.as_str());
            let live = Live::new(io::stdout(), app.stdout, names, false);
            Follower::new(client, &run, live).until(Until::End).await?;
            Ok(Exit::Ok)
        }
        (true, Some(step), Format::Table) => {
            connection.follow();
            follow_step(client, app, &run, step).await
        }
        (true, _, Format::Json | Format::Jsonl) => {
            Err(Failure::usage("--follow prints the log itself; leave out --output"))
        }
        (false, _, _) => print(client, args, app, &run, &attempts().await?).await,
    }
}

async fn print(
    client: &Client,
    args: &LogsArgs,
    app: &App,
    run: &str,
    attempts: &[AttemptRecord],
) -> Outcome {
    let mut printed = Printed::new(args, app, attempts.iter().map(whose));
    for attempt in attempts {
        let mut writer = printed.begin(whose(attempt));
        if printed.is_raw() {
            raw(client, run, &attempt.id, args.tail, &writer).await?;
        } else {
            read(client, run, &attempt.id, args.tail, &mut writer).await?;
        }
        printed.ended(writer)?;
    }
    printed.end(run)
}

/// Copies the bytes of a log, or of its last lines, to standard output.
async fn raw(
    client: &Client,
    run: &str,
    attempt: &str,
    tail: Option<u64>,
    writer: &Writer,
) -> Result<(), Failure> {
    let mut copy = |part: &[u8]| output::bytes(part);
    let remarks = client.logs().raw(run, attempt, tail, &mut copy).await?;
    remarks.iter().for_each(|remark| writer.remark(&remark.stream, &remark.text));
    Ok(())
}

/// Hands over the pieces of a log, or of its last lines.
async fn read(
    client: &Client,
    run: &str,
    attempt: &str,
    tail: Option<u64>,
    writer: &mut Writer,
) -> Result<(), Failure> {
    if let Some(lines) = tail {
        let pieces = client.logs().tail(run, attempt, lines).await?;
        return pieces.iter().try_for_each(|piece| writer.take(piece));
    }
    let mut after = None;
    loop {
        let page = client.logs().pieces(run, attempt, after).await?;
        page.items.iter().try_for_each(|piece| writer.take(piece))?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Lines with the text, as `grep -n` shows them.
async fn search(
    client: &Client,
    args: &LogsArgs,
    run: &str,
    attempts: &[AttemptRecord],
    text: &str,
) -> Result<Hits, Failure> {
    let mut hits = Hits::default();
    let attempt = match (&args.step, attempts) {
        (None, _) => None,
        // Of a step one attempt was chosen, or none.
        (Some(_), [one, ..]) => Some(one.id.as_str()),
        (Some(_), []) => return Ok(hits),
    };
    let mut cursor = None;
    while !hits.is_full() {
        let page = client.logs().search(run, text, attempt, cursor).await?;
        for RunHitRecord { step, visit, attempt, hit, .. } in page.items {
            hits.take(LogLine { step, visit, attempt, line: hit.line, text: hit.text });
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(hits)
}

/// Prints the log of a step until the run ends, each attempt after the one before it.
async fn follow_step(client: &Client, app: &App, run: &str, step: &str) -> Outcome {
    let shape = if app.stdout.interactive { Shape::Clean } else { Shape::Raw };
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut facts = pin!(client.runs().events(run).fuse());
    loop {
        // Before the attempts: if the run has ended, the list of attempts is complete.
        let row = client.runs().show(run).await?;
        let attempts = client.runs().attempts(run).await?;
        let mut of_step = attempts.iter().filter(|attempt| attempt.step == step);
        match of_step.find(|attempt| !done.contains(&attempt.id)) {
            Some(attempt) => {
                let mut writer = Writer::new(shape, whose(attempt), app);
                let mut pieces = pin!(client.logs().events(run, &attempt.id));
                while let Some(piece) = pieces.next().await {
                    writer.take(&piece?)?;
                }
                writer.end()?;
                done.insert(attempt.id.clone());
            }
            None if row.ended_at.is_some() => return Ok(Exit::Ok),
            None => drop(facts.next().await.transpose()?),
        }
    }
}
