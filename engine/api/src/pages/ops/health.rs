//! Health of this server, as its probes see it, and the engines on its database.

use axum::{extract::State, response::Response};
use plue_dashboard::{
    ops::{
        Tab,
        health::{self, Backlog, Check, Engine, HealthPage},
    },
    shell::Page,
    state::State as Shown,
};

use super::frame;
use crate::{pages::reader::Reader, problem::Problem, server::Api};

/// `GET /health`
pub(in crate::pages) async fn page(State(api): State<Api>, reader: Reader) -> Response {
    reader.answer(load(&api, &reader).await)
}

async fn load(api: &Api, reader: &Reader) -> Result<Page, Problem> {
    let frame = frame(reader, Tab::Health)?;
    let engines = api.store().engines().list().await?;
    let backlogs = api.store().delivery_queues().backlogs().await?;
    let model = HealthPage {
        checks: checks(api),
        engines: engines
            .into_iter()
            .map(|row| Engine {
                id: row.id,
                host: format!("{} ({})", row.host, row.pid),
                version: row.version,
                times: (row.started_at, row.seen_at),
            })
            .collect(),
        backlogs: backlogs
            .into_iter()
            .map(|row| Backlog {
                repo: row.repo,
                waiting: row.waiting,
                oldest: row.oldest,
                has_failed: row.has_failed,
            })
            .collect(),
        now: api.clock().now(),
    };
    Ok(health::page(&model, &frame))
}

/// The checks of `/healthz` and `/readyz`; the database has answered by now.
fn checks(api: &Api) -> Vec<Check> {
    let mut checks =
        vec![Check { name: "Database", state: Shown::Success, words: "answers".to_owned() }];
    let stalled = api.watchdog().stalled();
    let loops = |state, words| Check { name: "Loops", state, words };
    if stalled.is_empty() {
        checks.push(loops(Shown::Success, "all of them turn".to_owned()));
    }
    for one in stalled {
        let words = format!(
            "`{}` stands still in `{}` for {} s; the server's log has the reason",
            one.name,
            one.stage,
            one.lasted.as_secs()
        );
        checks.push(loops(Shown::Failed, words));
    }
    let (state, words) = match api.drains() {
        true => (Shown::Waiting, "shuts down: it ends what runs and takes nothing new"),
        false => (Shown::Success, "takes what is new"),
    };
    checks.push(Check { name: "Intake", state, words: words.to_owned() });
    checks
}
