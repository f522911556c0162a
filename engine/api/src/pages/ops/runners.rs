//! Pools, runners and the queue.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use plue_dashboard::{
    ops::{
        Tab,
        runners::{self, MAX_RUNNERS, Pool, Queued, Runner, RunnersPage},
    },
    shell::Page,
};
use plue_store::{QueueRow, QueuedAttempt, RunnerRow, RunnerState, pool::PoolRow};

use super::frame;
use crate::{pages::reader::Reader, problem::Problem, server::Api};

/// Steps of the queue that are listed.
const QUEUE: u32 = 50;

/// `GET /runners`
pub(in crate::pages) async fn page(State(api): State<Api>, reader: Reader) -> Response {
    reader.answer(load(&api, &reader).await)
}

async fn load(api: &Api, reader: &Reader) -> Result<Page, Problem> {
    let frame = frame(reader, Tab::Runners)?;
    let seq = api.changed().at();
    let (queues, rows) =
        (api.store().usage().queues().await?, api.store().runners().list(None).await?);
    let pools = pools(&queues, &rows, api.store().pools().list().await?);
    let now = api.clock().now();
    let queue = api.store().usage().queued_attempts(QUEUE).await?;
    let queue = queue.into_iter().map(|attempt| queued(attempt, now)).collect();
    let model = RunnersPage {
        pools,
        runners: rows.into_iter().take(MAX_RUNNERS + 1).map(runner).collect(),
        queue,
        waiting: queues.iter().map(|queue| queue.queued).sum(),
        now,
        seq,
    };
    Ok(runners::page(&model, &frame))
}

fn pools(queues: &[QueueRow], runners: &[RunnerRow], rows: Vec<PoolRow>) -> Vec<Pool> {
    let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
    let named = |name: &str| Pool { name: name.to_owned(), ..Pool::default() };
    for row in rows {
        let pool = pools.entry(row.name.clone()).or_insert_with(|| named(&row.name));
        (pool.max, pool.draining, pool.degraded) = (row.max, row.draining, row.degraded);
    }
    for runner in runners {
        let pool = pools.entry(runner.pool.clone()).or_insert_with(|| named(&runner.pool));
        pool.runners.2 += 1;
        match runner.state {
            RunnerState::Ready => pool.runners.0 += 1,
            RunnerState::Claimed => pool.runners.1 += 1,
            RunnerState::Warming | RunnerState::Draining | RunnerState::Gone => {}
        }
    }
    for queue in queues {
        let pool = pools.entry(queue.pool.clone()).or_insert_with(|| named(&queue.pool));
        pool.attempts = (queue.queued, queue.held);
    }
    pools.into_values().collect()
}

fn runner(row: RunnerRow) -> Runner {
    Runner {
        id: row.id.to_string(),
        pool: row.pool,
        state: row.state.as_str().to_owned(),
        run: row.group.map(|run| run.to_string()),
        times: (row.registered_at, row.seen_at),
    }
}

fn queued(attempt: QueuedAttempt, now: jiff::Timestamp) -> Queued {
    let pauses = (attempt.not_before > now)
        .then(|| format!("pauses before its retry, until {}", attempt.not_before));
    Queued {
        run: attempt.run.to_string(),
        workflow: attempt.workflow,
        repo: attempt.repo,
        step: attempt.step.to_string(),
        pool: attempt.pool,
        since: attempt.queued_at,
        reason: pauses.or_else(|| attempt.reason.map(|reason| reason.to_string())),
    }
}
