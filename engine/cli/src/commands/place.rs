//! `plue approvals`, `plue schedules`, `plue runners`, `plue pools` and `plue usage`: what waits for
//! people, what is due, what works, and what it cost.
//!
//! Only lists. With a server, [`crate::remote`] asks its API and prints with the same functions.

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use plue_api::records::{
    place::{PoolRecord, RunnerRecord, ScheduleRecord, UsageRecord},
    told::ApprovalRecord,
};
use plue_executor::Loaded;
use plue_runtime::Clock;
use plue_store::UsageBy;

use crate::{
    app::App,
    args::Format,
    commands::workflow,
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output,
    records::{
        SCHEMA_VERSION,
        server::{Approvals, Pools, Runners, Schedules, Usage},
    },
    render::{table, words},
    wiring,
};

/// Runs of one page.
const PAGE: u32 = 200;
/// Period of `plue usage` without `--from`.
const PERIOD: SignedDuration = SignedDuration::from_hours(24 * 30);

/// A list of what there is.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Only of this repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The owner of the sums of `plue usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum By {
    /// Each repository.
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
    /// Sum up by
    #[arg(long, value_enum, default_value_t, value_name = "OWNER")]
    pub by: By,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

pub(super) fn approvals(args: &PlaceArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let repos = args.repo.clone().map(|repo| vec![repo]);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let runs = store.usage().waiting_runs(repos.as_deref(), after.as_ref(), PAGE).await;
            let runs = runs.map_err(|error| from_store(&error))?;
            let Some(last) = runs.last() else { break };
            after = Some(last.clone());
            for run in &runs {
                let loaded =
                    Loaded::read(&store, run).await.map_err(|error| from_executor(&error))?;
                let (row, plan) = (&loaded.row, &loaded.plan);
                let asked = loaded.run.waiting();
                found.extend(asked.filter_map(|one| ApprovalRecord::of(row, plan, &one)));
            }
        }
        show_approvals(found, args, app)
    })
}

pub(super) fn schedules(args: &PlaceArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let repos = args.repo.clone().map(|repo| vec![repo]);
        let now = Clock::real().now();
        let found = plue_api::schedules::of(&store, repos.as_deref(), now).await;
        show_schedules(found.map_err(|error| from_store(&error))?, args, app)
    })
}

pub(super) fn runners(args: &PlaceArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let rows = store.runners().list(None).await.map_err(|error| from_store(&error))?;
        show_runners(rows.iter().map(RunnerRecord::of).collect(), args, app)
    })
}

pub(super) fn pools(args: &PlaceArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let queues = store.usage().queues().await.map_err(|error| from_store(&error))?;
        let runners = store.runners().list(None).await.map_err(|error| from_store(&error))?;
        show_pools(PoolRecord::all(&queues, &runners), args, app)
    })
}

pub(super) fn usage(args: &UsageArgs, app: &App) -> Outcome {
    let (from, to) = period(args)?;
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let repos = args.repo.clone().map(|repo| vec![repo]);
        let by = match args.by {
            By::Repository => UsageBy::Repository,
            By::Workflow => UsageBy::Workflow,
            By::Organisation => UsageBy::Organisation,
        };
        let rows = store.usage().list(by, repos.as_deref(), from, to).await;
        let rows = rows.map_err(|error| from_store(&error))?;
        show_usage(rows.iter().map(|row| UsageRecord::of(row, by)).collect(), args, app)
    })
}

/// The period that is asked for: from a time on, to another one that is not part of it.
pub(crate) fn period(args: &UsageArgs) -> Result<(Timestamp, Timestamp), Failure> {
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

pub(crate) fn show_approvals(found: Vec<ApprovalRecord>, args: &PlaceArgs, app: &App) -> Outcome {
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
        output::say(
            "answer with: plue approve RUN STEP, or plue reject RUN STEP; --call ID for a call",
        );
    }
    Ok(Exit::Ok)
}

pub(crate) fn show_schedules(found: Vec<ScheduleRecord>, args: &PlaceArgs, app: &App) -> Outcome {
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

pub(crate) fn show_runners(found: Vec<RunnerRecord>, args: &PlaceArgs, app: &App) -> Outcome {
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

pub(crate) fn show_pools(found: Vec<PoolRecord>, args: &PlaceArgs, app: &App) -> Outcome {
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

pub(crate) fn show_usage(found: Vec<UsageRecord>, args: &UsageArgs, app: &App) -> Outcome {
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
