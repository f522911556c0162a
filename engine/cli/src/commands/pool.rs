//! `plue pool`: pools of pods of a server.

use clap::{Args, Subcommand};
use plue_api::records::{resources::PoolRecord, runner::ScaleRequest};

use crate::{
    app::App,
    args::Format,
    connect::{Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{SCHEMA_VERSION, server::Pools},
    render::table,
};

/// `plue pool`
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// Show pools of pods: their sizes, and the reason if one cannot grow
    Status(PoolStatusArgs),
    /// Let the pods of a pool finish their runs and start no others
    Drain(DrainPoolArgs),
    /// Set the sizes of a pool, in place of those of the configuration
    Scale(ScalePoolArgs),
}

/// `plue pool status`
#[derive(Debug, Args)]
pub struct PoolStatusArgs {
    /// Format of the list
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// `plue pool drain`
#[derive(Debug, Args)]
pub struct DrainPoolArgs {
    /// Its name, as `plue pool status` shows it
    #[arg(value_name = "POOL")]
    pub pool: String,
    /// Take it back: the pool starts pods again
    #[arg(long)]
    pub undo: bool,
}

/// `plue pool scale`
#[derive(Debug, Args)]
pub struct ScalePoolArgs {
    /// Its name, as `plue pool status` shows it
    #[arg(value_name = "POOL")]
    pub pool: String,
    /// Idle pods to keep [default: as configured]
    #[arg(long, value_name = "N", required_unless_present_any = ["max", "reset"])]
    pub min_idle: Option<u32>,
    /// Pods at most, busy ones included [default: as configured]
    #[arg(long, value_name = "N")]
    pub max: Option<u32>,
    /// Return to the sizes of the configuration
    #[arg(long, conflicts_with_all = ["min_idle", "max"])]
    pub reset: bool,
}

pub(super) fn run(command: &PoolCommand, app: &App) -> Outcome {
    match command {
        PoolCommand::Status(args) => status(args, app),
        PoolCommand::Drain(args) => drain(args, app),
        PoolCommand::Scale(args) => scale(args, app),
    }
}

fn status(args: &PoolStatusArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| {
        let mut pools = connection.client.runners().pools().await?;
        pools.retain(|pool| pool.pods.is_some());
        show(pools, args, app)
    })
}

fn show(pools: Vec<PoolRecord>, args: &PoolStatusArgs, app: &App) -> Outcome {
    let document = Pools { schema_version: SCHEMA_VERSION, pools };
    output::list(args.output, &document, &document.pools, || {
        let rows = document.pools.iter().filter_map(|one| {
            let pods = one.pods.as_ref()?;
            let busy = one.runners.saturating_sub(pods.idle).saturating_sub(pods.warming);
            let counts = [pods.idle, pods.warming, busy, pods.min_idle, pods.max];
            let [idle, warming, busy, min_idle, max] = counts.map(|count| count.to_string());
            let state = match &pods.degraded {
                Some(why) => format!("degraded: {why}"),
                None if pods.draining => "draining".to_owned(),
                None if pods.scaled => "scaled".to_owned(),
                None => "ok".to_owned(),
            };
            Some(
                [&one.name, &idle, &warming, &busy, &min_idle, &max, &state]
                    .map(table::plain)
                    .to_vec(),
            )
        });
        let head = ["POOL", "IDLE", "STARTING", "BUSY", "MIN IDLE", "MAX", "STATE"];
        table::render(&head, &rows.collect::<Vec<_>>(), &app.stdout)
    })?;
    if args.output == Format::Table && app.verbosity >= 0 && document.pools.is_empty() {
        output::report("the server has no pools of pods: see docs/how-to/pools.md");
    }
    Ok(Exit::Ok)
}

fn drain(args: &DrainPoolArgs, app: &App) -> Outcome {
    connected(app, Purpose::Write, async |connection| {
        let drained = connection.client.runners().drain_pool(&args.pool, !args.undo).await;
        drained.map_err(unknown)?;
        Ok(Exit::Ok)
    })
}

fn scale(args: &ScalePoolArgs, app: &App) -> Outcome {
    let sizes = ScaleRequest { min_idle: args.min_idle, max: args.max };
    connected(app, Purpose::Write, async |connection| {
        let scaled = connection.client.runners().scale_pool(&args.pool, &sizes).await;
        scaled.map_err(unknown)?;
        Ok(Exit::Ok)
    })
}

fn unknown(error: plue_client::Error) -> Failure {
    Failure::from(error).hint_if_not_found("see `plue pool status`")
}
