//! `plue approvals`, `plue schedules`, `plue runners`, `plue pools` and `plue usage`: lists of pending
//! decisions, due times, runners, pools and costs.

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use plue_api::records::{
    resources::{PoolRecord, RunnerRecord, ScheduleRecord, UsageRecord},
    status::ApprovalRecord,
};
use plue_client::UsageQuery;
use plue_runtime::Clock;

use crate::{
    app::App,
    args::Format,
    commands::workflow,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{
        SCHEMA_VERSION,
        server::{Approvals, Pools, Runners, Schedules, Usage},
    },
    render::{table, words},
};

/// Period of `plue usage` without `--from`.
const PERIOD: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Filter and format of a list.
#[derive(Debug, Args)]
pub struct RecordListArgs {
    /// Only of this repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The owner of the sums of `plue usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum By {
    #[default]
    Repository,
    /// Each workflow of each repository.
    Workflow,
    /// Each owner of repositories.
    Organisation,
}

/// `plue usage`
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// The first day, or a time in RFC 3339 [default: 30 days before `--to`]
    #[arg(long, value_name = "DATE|TIME")]
    pub from: Option<String>,
    /// The day or time behind the last [default: now]
    #[arg(long, value_name = "DATE|TIME")]
    pub to: Option<String>,
    /// Only of this repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// Owner of each sum
    #[arg(long, value_enum, default_value_t, value_name = "OWNER")]
    pub by: By,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn approvals(args: &RecordListArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let mut found = connection.client.lists().approvals().await?;
        found.retain(|one| args.repo.is_none() || one.repository == args.repo);
        show_approvals(found, args, app)
    })
}

pub(super) fn schedules(args: &RecordListArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        show_schedules(connection.client.lists().schedules().await?, args, app)
    })
}

pub(super) fn runners(args: &RecordListArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        show_runners(connection.client.lists().runners().await?, args, app)
    })
}

pub(super) fn pools(args: &RecordListArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        show_pools(connection.client.lists().pools().await?, args, app)
    })
}

pub(super) fn usage(args: &UsageArgs, app: &App) -> Outcome {
    let (from, to) = period(args)?;
    let query = UsageQuery {
        from: from.to_string(),
        to: to.to_string(),
        repository: args.repo.clone(),
        // The API's default; an older server knows no other.
        by: match args.by {
            By::Repository => None,
            By::Workflow => Some("workflow"),
            By::Organisation => Some("organisation"),
        },
    };
    connected(app, Purpose::Read, async |connection| {
        show_usage(connection.client.lists().usage(&query).await?, args, app)
    })
}

/// The period that is asked for: from a time on, to another one that is not part of it.
fn period(args: &UsageArgs) -> Result<(Timestamp, Timestamp), Failure> {
    let given = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| moment(flag, text)).transpose()
    };
    let to = given("--to", &args.to)?.unwrap_or_else(|| Clock::real().now());
    let from = match given("--from", &args.from)? {
        Some(from) => from,
        None => to.checked_sub(PERIOD).unwrap_or(Timestamp::UNIX_EPOCH),
    };
    if from >= to {
        return Err(Failure::usage("--from is before --to"));
    }
    Ok((from, to))
}

/// A time in RFC 3339, or a day, which begins at midnight in UTC.
pub(crate) fn moment(flag: &str, text: &str) -> Result<Timestamp, Failure> {
    let day = || format!("{text}T00:00:00Z").parse::<Timestamp>();
    text.parse::<Timestamp>().or_else(|_| day()).map_err(|_| {
        Failure::usage(format!("{flag} {text}: this is no day and no time"))
            .hint("like 2026-11-22, or 2026-11-22T09:00:00Z")
    })
}

fn show_approvals(found: Vec<ApprovalRecord>, args: &RecordListArgs, app: &App) -> Outcome {
    let document = Approvals { schema_version: SCHEMA_VERSION, approvals: found };
    output::list(args.output, &document, &document.approvals, || {
        let rows = document.approvals.iter().map(|one| {
            let repo = one.repository.as_deref().unwrap_or("-");
            let mut by = one.approvers.join(", ");
            if by.is_empty() {
                "everyone".clone_into(&mut by);
            }
            let call = one.call.as_ref().map_or("-", |call| &call.id);
            let asked = one.message.as_deref().unwrap_or("-");
            let cells = [&one.run, &one.workflow, &one.step, repo, &by, call, asked];
            cells.map(table::plain).to_vec()
        });
        let head = ["RUN", "WORKFLOW", "STEP", "REPOSITORY", "MAY ANSWER", "CALL", "ASKED"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    if args.output == Format::Table && app.verbosity >= 0 && !document.approvals.is_empty() {
        output::report(
            "answer with: plue approve RUN STEP, or plue reject RUN STEP; --call ID for a call",
        );
    }
    Ok(Exit::Ok)
}

fn show_schedules(found: Vec<ScheduleRecord>, args: &RecordListArgs, app: &App) -> Outcome {
    let wanted =
        |one: &ScheduleRecord| args.repo.as_ref().is_none_or(|repo| *repo == one.repository);
    let schedules = found.into_iter().filter(wanted).collect();
    let document = Schedules { schema_version: SCHEMA_VERSION, schedules };
    output::list(args.output, &document, &document.schedules, || {
        let rows = document.schedules.iter().map(|one| {
            let next = match (&one.paused, one.next.first()) {
                (Some(pause), _) => format!("paused {}", workflow::paused(pause)),
                (None, Some(at)) => words::time(*at),
                (None, None) => "-".to_owned(),
            };
            let cells = [&one.repository, &one.workflow, &one.cron, &one.tz, &next];
            cells.map(table::plain).to_vec()
        });
        let head = ["REPOSITORY", "WORKFLOW", "CRON", "ZONE", "NEXT"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}

fn show_runners(found: Vec<RunnerRecord>, args: &RecordListArgs, app: &App) -> Outcome {
    let document = Runners { schema_version: SCHEMA_VERSION, runners: found };
    output::list(args.output, &document, &document.runners, || {
        let rows = document.runners.iter().map(|one| {
            let seen = words::time(one.seen_at);
            let cells = [&one.id, &one.pool, &one.state, one.run.as_deref().unwrap_or("-"), &seen];
            cells.map(table::plain).to_vec()
        });
        let head = ["RUNNER", "POOL", "STATE", "RUN", "SEEN"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}

fn show_pools(found: Vec<PoolRecord>, args: &RecordListArgs, app: &App) -> Outcome {
    let document = Pools { schema_version: SCHEMA_VERSION, pools: found };
    output::list(args.output, &document, &document.pools, || {
        let rows = document.pools.iter().map(|one| {
            let counts = [one.runners, one.queued, one.running].map(|count| count.to_string());
            let [runners, queued, running] = &counts;
            [&one.name, runners, queued, running].map(table::plain).to_vec()
        });
        let head = ["POOL", "RUNNERS", "QUEUED", "RUNNING"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}

fn show_usage(found: Vec<UsageRecord>, args: &UsageArgs, app: &App) -> Outcome {
    let document = Usage { schema_version: SCHEMA_VERSION, usage: found };
    output::list(args.output, &document, &document.usage, || {
        let rows = document.usage.iter().map(|one| {
            let owner = one.repository.as_ref().or(one.organisation.as_ref());
            let mut cells = vec![table::plain(owner.map_or("-", String::as_str))];
            cells.extend(one.workflow.iter().map(table::plain));
            let counts = [one.runs, one.succeeded, one.failed, one.attempts];
            cells.extend(counts.map(|count| table::plain(count.to_string())));
            cells.push(table::plain(format!("{:.2}", one.minutes)));
            let claude = one.claude.as_ref().map(|claude| {
                let tokens =
                    [claude.input_tokens, claude.cache_read_tokens, claude.cache_write_tokens]
                        .into_iter()
                        .fold(claude.output_tokens, u64::saturating_add);
                [claude.calls.to_string(), tokens.to_string(), format!("${:.4}", claude.cost_usd)]
            });
            let claude = claude.unwrap_or_else(|| ["-", "-", "-"].map(str::to_owned));
            cells.extend(claude.map(table::plain));
            cells
        });
        let mut head = match args.by {
            By::Repository => vec!["REPOSITORY"],
            By::Workflow => vec!["REPOSITORY", "WORKFLOW"],
            By::Organisation => vec!["ORGANISATION"],
        };
        head.extend([
            "RUNS",
            "SUCCEEDED",
            "FAILED",
            "ATTEMPTS",
            "MINUTES",
            "CALLS",
            "TOKENS",
            "COST",
        ]);
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    Ok(Exit::Ok)
}
