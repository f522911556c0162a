//! Runs of a server: listed, shown, asked for, stopped, answered, let go on.

use std::{collections::BTreeMap, io};

use plue_api::{
    commands::{DecisionRequest, RetryRequest, RunRequest},
    records::{
        AttemptRecord, Page, RunRecord, WhoRecord, kept::ArtifactRecord, place::RepoRecord,
        told::StatusRecord,
    },
};
use plue_flow::RunStatus;
use plue_plan::Plan;
use plue_runtime::{Clock, Ids};
use serde_json::{Value as Json, json};

use super::{
    client::{Client, encoded},
    follow::{Follower, Until, stopped},
    logs::last_lines,
};
use crate::{
    app::App,
    args::{CancelArgs, Format, RerunArgs, RetryArgs, RunArgs, RunsArgs, StatusArgs},
    attend::{exit_of, is_limit},
    commands::{
        artifacts::{ArtifactsArgs, Write, gone, hand_over},
        callback::CallbackArgs,
        decide::{DecideArgs, chosen, say_decided},
        runs, status,
    },
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{Runs, SCHEMA_VERSION, Status},
    render::{live::Live, stopping::Stopping, words},
    terminal::{Style, sanitize},
};

/// Runs of one page: the most that a server gives.
const PAGE: u32 = 200;
/// Lines of a failed step's log that the summary repeats.
const LAST_LINES: u64 = 10;

/// `plue runs`
pub(super) async fn list(client: &Client, args: &RunsArgs, app: &App) -> Outcome {
    if let Some(text) = &args.status {
        runs::statuses(text)?;
    }
    let event = args.event.as_deref().map(runs::event_type).transpose()?;
    let since = args.since.as_deref().map(|text| runs::since(text, Clock::real().now()));
    let since = since.transpose()?.map(|since| since.to_string());
    let mut found: Vec<RunRecord> = Vec::new();
    let mut cursor = None;
    loop {
        let left = args.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let mut path = format!("/api/v1/runs?limit={}", left.min(PAGE));
        for (name, value) in [
            ("status", &args.status),
            ("workflow", &args.workflow),
            ("repository", &args.repo),
            ("branch", &args.branch),
            ("event", &event),
            ("since", &since),
            ("cursor", &cursor),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let page: Page<RunRecord> = client.get(&path).await?;
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let document = Runs { schema_version: SCHEMA_VERSION, runs: found };
    output::list(args.output, &document, &document.runs, || runs::shown(&document.runs, app))?;
    Ok(Exit::Ok)
}

/// `plue status`
pub(super) async fn status(client: &Client, args: &StatusArgs, app: &App) -> Outcome {
    let run = client.one_run(&args.run).await?.id;
    let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
    let document = Status { schema_version: SCHEMA_VERSION, told };
    let steps = &document.told.steps;
    output::list(args.output, &document, steps, || status::shown(&document.told, app))?;
    status::tell_decisions(&document.told, app);
    Ok(Exit::Ok)
}

/// `plue run NAME`
pub(super) async fn submit(client: &Client, args: &RunArgs, app: &App) -> Outcome {
    let here = [
        ("--step", args.step.is_some()),
        ("--from", args.from.is_some()),
        ("--carry", args.carry.is_some()),
        ("--goal", args.goal.is_some()),
        ("--todo", args.todo.is_some()),
        ("--max-parallel", args.max_parallel.is_some()),
        ("--secret", !args.secrets.is_empty()),
        ("--event", args.source.event.is_some()),
    ];
    if let Some((flag, _)) = here.iter().find(|(_, given)| *given) {
        let refused = Failure::usage(format!("{flag} is for runs of this machine"));
        return Err(match *flag {
            "--step" | "--from" | "--carry" => refused.hint(
                "plue retry RUN --from ID goes on with a run of the server, or leave out --server",
            ),
            _ => refused
                .hint("leave out --server, and set PLUE_SERVER to nothing: PLUE_SERVER= plue …"),
        });
    }
    let workflow = args.workflow.clone().ok_or_else(|| {
        Failure::usage("a server is asked for a workflow by its name or file")
            .hint("plue run NAME --repo OWNER/NAME")
    })?;
    let named = args.source.repo.as_ref().map(|path| path.display().to_string());
    let repository = match named {
        Some(named) => named,
        None => the_repository(client).await?,
    };
    let inputs = pairs("--input", &args.source.inputs)?;
    let inputs = inputs.into_iter().map(|(name, text)| (name, input(text))).collect();
    let request =
        RunRequest { repository, workflow, rev: args.rev.clone(), inputs, traceparent: None };
    // A key of its own: an answer that is lost on the way makes no second run if it is asked again.
    let key = Ids::random().text();
    let run: RunRecord = client.once("/api/v1/runs", &request, &key).await?;
    if app.verbosity >= 0 {
        let word = app.stderr.paint(Style::Bold, "run").to_string();
        output::say(&format!("{word} {} · plan {} · run {}", run.workflow, run.plan, run.id));
    }
    let until = if args.no_wait || args.no_input { Until::Asked } else { Until::End };
    let exit = attend(client, app, &run.id, until).await?;
    match args.output {
        Format::Table => {}
        Format::Json | Format::Jsonl => {
            output::json(&json!({"schema_version": 1, "run": run.id, "exit_code": exit.code()}))?
        }
    }
    Ok(exit)
}

/// The repository of the token, or the only one that the server watches.
async fn the_repository(client: &Client) -> Result<String, Failure> {
    let who: WhoRecord = client.get("/api/v1/whoami").await?;
    if let Some(repository) = who.repository {
        return Ok(repository);
    }
    let mut repos: Vec<RepoRecord> = client.get("/api/v1/repositories").await?;
    match (repos.pop(), repos.is_empty()) {
        (Some(one), true) => Ok(one.name),
        (Some(_), false) => Err(Failure::usage("the server watches more than one repository")
            .hint("name one: --repo OWNER/NAME")),
        (None, _) => Err(Failure::not_found("the server watches no repository")
            .hint("see `plue repo add --help`")),
    }
}

/// `plue cancel`
pub(super) async fn cancel(client: &Client, args: &CancelArgs, app: &App) -> Outcome {
    let run = client.one_run(&args.run).await?.id;
    let plan: Plan = client.get(&format!("/api/v1/runs/{run}/plan")).await?;
    let path = format!("/api/v1/runs/{run}/cancel");
    let _now: RunRecord = client.post(&path, &json!({"kill": args.kill})).await?;
    let hooks = plan.hooks.all().map(|hook| hook.id.to_string()).collect();
    let mut stopping = Stopping::new(&run, args.kill, hooks);
    let say = |text: &str| {
        if app.verbosity >= 0 {
            output::say(text)
        }
    };
    say(&stopping.begins(None));
    stopped(client, &run, |steps| {
        if let Some(text) = stopping.waits(steps) {
            say(&text);
        }
    })
    .await?;
    let row: RunRecord = client.get(&format!("/api/v1/runs/{run}")).await?;
    output::say(&format!("run {run} ended: {}", row.status));
    Ok(if row.status == RunStatus::Cancelled.as_str() { Exit::Ok } else { Exit::RunFailed })
}

/// `plue retry`
pub(super) async fn retry(client: &Client, args: &RetryArgs, app: &App) -> Outcome {
    if args.files.force || args.files.keep_files || !args.secrets.is_empty() {
        return Err(Failure::usage(
            "--force, --keep-files and --secret are for runs of this machine",
        ));
    }
    let run = client.one_run(&args.run).await?.id;
    let names = Vec::new();
    let live = Live::new(io::stderr(), app.stderr, names.into_iter(), app.verbosity < 0);
    let mut follower = Follower::new(client, &run, live);
    follower.skip_past().await?;
    let request = RetryRequest { from: args.from.clone(), failed: args.failed };
    let path = format!("/api/v1/runs/{run}/retry");
    let _now: RunRecord = client.post(&path, &request).await?;
    if app.verbosity >= 0 {
        output::say(&format!("run {run} goes on"));
    }
    let told = follower.until(Until::End).await?;
    summary(client, app, &told).await
}

/// `plue rerun`
pub(super) async fn rerun(client: &Client, args: &RerunArgs, app: &App) -> Outcome {
    if !args.secrets.is_empty() {
        return Err(Failure::usage("--secret is for runs of this machine"));
    }
    let old = client.one_run(&args.run).await?.id;
    let key = Ids::random().text();
    if !args.inputs.is_empty() {
        return with_inputs(client, (&old, &key), &args.inputs, app).await;
    }
    let path = format!("/api/v1/runs/{old}/rerun");
    let run: RunRecord = client.once(&path, &json!({}), &key).await?;
    output::say(&format!("run {} repeats {old}", run.id));
    attend(client, app, &run.id, Until::End).await
}

/// Inputs may change the plan: a new run of the same workflow at the same commit.
async fn with_inputs(
    client: &Client,
    (old, key): (&str, &str),
    given: &[String],
    app: &App,
) -> Outcome {
    let told: StatusRecord = client.get(&format!("/api/v1/runs/{old}/status")).await?;
    let repository = told.run.repository.clone().ok_or_else(|| {
        Failure::usage(format!("run {old} belongs to no repository, so it cannot be planned again"))
    })?;
    let mut inputs: BTreeMap<String, Json> =
        told.inputs.as_object().cloned().unwrap_or_default().into_iter().collect();
    inputs.extend(pairs("--input", given)?.into_iter().map(|(name, text)| (name, input(text))));
    let (workflow, rev) = (told.run.workflow.clone(), told.run.sha.clone());
    let request = RunRequest { repository, workflow, rev, inputs, traceparent: None };
    let run: RunRecord = client.once("/api/v1/runs", &request, key).await?;
    output::say(&format!("run {} repeats {old} with other inputs", run.id));
    attend(client, app, &run.id, Until::End).await
}

/// `plue approve` and `plue reject`
pub(super) async fn decide(client: &Client, args: &DecideArgs, approve: bool) -> Outcome {
    let run = client.one_run(&args.run).await?.id;
    let fields = pairs("--field", &args.fields)?;
    let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
    let open = told.waiting.into_iter().filter(|one| one.step.as_deref() == Some(&*args.step));
    let calls = chosen(args, open.filter_map(|one| one.call).collect())?;
    let mut answer = DecisionRequest {
        call: None,
        approve,
        // The server reads texts by the type that the step says.
        fields: fields.into_iter().map(|(name, text)| (name, Json::String(text))).collect(),
        comment: args.comment.clone(),
    };
    let path = format!("/api/v1/runs/{run}/steps/{}/decision", encoded(&args.step));
    let what = if approve { "approved" } else { "rejected" };
    for call in &calls {
        answer.call = Some(call.id.clone());
        let _now: RunRecord = client.post(&path, &answer).await?;
        say_decided(what, call);
    }
    if calls.is_empty() {
        let _now: RunRecord = client.post(&path, &answer).await?;
        output::say(what);
    }
    Ok(Exit::Ok)
}

/// `plue callback`
pub(super) async fn callback(client: &Client, args: &CallbackArgs) -> Outcome {
    let token = args.token()?;
    let output = args.output.clone().map_or(Json::Null, value);
    let path = format!("/callbacks/{}", encoded(token.trim()));
    let answered: Json = client.post(&path, &output).await?;
    output::say(match answered["status"].as_str() {
        Some("duplicate") => "the call has had its answer; this one changes nothing",
        _ => "answered; the run goes on",
    });
    Ok(Exit::Ok)
}

/// `plue artifacts`
pub(super) async fn artifacts(client: &Client, args: &ArtifactsArgs, app: &App) -> Outcome {
    let run = client.one_run(&args.run).await?.id;
    let records: Vec<ArtifactRecord> = client.get(&format!("/api/v1/runs/{run}/artifacts")).await?;
    let read = async |record: &ArtifactRecord, write: Write<'_>| {
        if record.expired_at.is_some() {
            return Err(gone(record));
        }
        let (attempt, path) = (&record.attempt_id, encoded(&record.path));
        let path = format!("/api/v1/runs/{run}/attempts/{attempt}/artifact?path={path}");
        client.copy(&path, &record.sha256, write).await
    };
    hand_over(args, app, (&run, records), read).await
}

/// Shows a run until it ends; whoever stops looking does not stop it.
async fn attend(client: &Client, app: &App, run: &str, until: Until) -> Outcome {
    let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
    let names = told.steps.iter().map(|step| step.step.as_str());
    let live = Live::new(io::stderr(), app.stderr, names, app.verbosity < 0);
    let told = Follower::new(client, run, live).until(until).await?;
    summary(client, app, &told).await
}

/// What is left to say at the end: the last lines of what failed, the result.
async fn summary(client: &Client, app: &App, told: &StatusRecord) -> Outcome {
    let mut counts = [0_u32; 3];
    let run = &told.run;
    for step in &told.steps {
        match step.status.as_str() {
            "success" => counts[0] += 1,
            "failed" | "timed_out" => {
                counts[1] += 1;
                tell_last_lines(client, app, &run.id, &step.step).await?;
            }
            "skipped" | "cancelled" => counts[2] += 1,
            _ => {}
        }
    }
    let took = run.started_at.zip(run.ended_at);
    let took =
        took.map_or(String::new(), |(from, to)| format!(" in {}", words::duration(from, to)));
    let status: RunStatus = run.status.parse().unwrap_or(RunStatus::Running);
    let [succeeded, bad, rest] = counts;
    for note in &told.notes {
        output::say(&format!("{}: {}", note.step, sanitize(&note.text, app.stderr.color)));
    }
    output::say(&format!(
        "{} {}{took} · {succeeded} succeeded, {bad} failed, {rest} skipped or cancelled",
        app.stderr.paint(Style::Bold, "run"),
        app.stderr.paint(words::run_style(status), &run.status),
    ));
    let mut reasons = told.steps.iter().filter_map(|step| step.reason.as_deref());
    let is_over_limit = status == RunStatus::Failed && reasons.any(is_limit);
    Ok(if is_over_limit { Exit::BudgetExhausted } else { exit_of(status) })
}

async fn tell_last_lines(client: &Client, app: &App, run: &str, step: &str) -> Result<(), Failure> {
    let attempts: Vec<AttemptRecord> = client.get(&format!("/api/v1/runs/{run}/attempts")).await?;
    let mut of_step = attempts.iter().rev().filter(|attempt| attempt.step == step);
    let Some(attempt) = of_step.find(|attempt| attempt.log_bytes > 0) else { return Ok(()) };
    let bytes = last_lines(client, run, attempt, LAST_LINES).await?;
    let title = format!("last lines of {step}");
    output::say(&format!("{}", app.stderr.paint(Style::Bold, &title)));
    for line in String::from_utf8_lossy(&bytes).lines() {
        output::say(&format!("  {}", sanitize(line, app.stderr.color)));
    }
    Ok(())
}

/// An input before anybody said what type it has: JSON if nothing of its text is lost by that (`1.10`
/// would be), else text. The server reads it by its declared type.
fn input(text: String) -> Json {
    match serde_json::from_str::<Json>(&text) {
        Ok(Json::String(text)) => Json::String(text),
        Ok(json) => {
            let written = json.to_string();
            if written == text { json } else { Json::String(text) }
        }
        Err(_) => Json::String(text),
    }
}

/// JSON if it is, else text.
fn value(text: String) -> Json {
    serde_json::from_str(&text).unwrap_or(Json::String(text))
}

/// `KEY=VALUE` texts.
fn pairs(flag: &str, given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), value.to_owned()))
    };
    let read = given.iter().map(|text| {
        pair(text).ok_or_else(|| Failure::usage(format!("{flag} {text}: expected KEY=VALUE")))
    });
    read.collect()
}
