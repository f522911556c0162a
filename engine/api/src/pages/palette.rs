//! The search over everything with a page: runs, workflows, repositories, pages.

use std::collections::BTreeSet;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    palette::{self, Hit, MAX_QUERY, Palette},
    shell::Page,
    state::State as Shown,
};
use plue_store::run::{ListedRun, RunQuery};

use super::{field, reader::Reader};
use crate::{problem::Problem, server::Api};

/// Runs that are searched for workflows, the newest.
const MAX_LOOKED_AT: u32 = 50;
/// Hits of one kind.
const MAX_HITS: usize = 8;

/// `GET /palette`
pub(super) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let query = field(query.unwrap_or_default().as_bytes(), "q").unwrap_or_default();
    let query: String = query.trim().chars().take(MAX_QUERY).collect();
    reader.answer(load(&api, &reader, query).await)
}

async fn load(api: &Api, reader: &Reader, query: String) -> Result<Page, Problem> {
    let asked = RunQuery {
        repos: reader.who.repos(),
        text: Some(query.clone()).filter(|text| !text.is_empty()),
        limit: MAX_LOOKED_AT,
        ..RunQuery::default()
    };
    let runs = api.store().run_lists().list(&asked).await?;
    let repos = api.store().repos().list().await?;
    let mut hits = palette::pages(&query);
    let wanted = query.to_lowercase();
    let workflows: BTreeSet<&str> =
        runs.iter().map(|listed| listed.run.workflow.as_str()).collect();
    let workflows = workflows.into_iter().filter(|name| name.to_lowercase().contains(&wanted));
    hits.extend(workflows.take(MAX_HITS).map(|name| list_of("Workflow", "workflow", name)));
    let repos = repos.iter().map(|repo| repo.name.as_str());
    let repos = repos.filter(|name| reader.who.sees(Some(name)));
    let repos = repos.filter(|name| name.to_lowercase().contains(&wanted));
    hits.extend(repos.take(MAX_HITS).map(|name| list_of("Repository", "repo", name)));
    hits.extend(runs.iter().take(MAX_HITS).map(run));
    Ok(palette::page(&Palette { query, hits }))
}

/// The runs with a value of a filter.
fn list_of(kind: &'static str, filter: &str, value: &str) -> Hit {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(filter, value).finish();
    Hit {
        kind,
        title: value.to_owned(),
        sub: String::new(),
        state: None,
        href: format!("/runs?{query}"),
    }
}

fn run(listed: &ListedRun) -> Hit {
    let row = &listed.run;
    let branch = row.branch.as_deref().unwrap_or_default();
    Hit {
        kind: "Run",
        title: row.workflow.clone(),
        sub: format!("{branch} {}", row.id).trim().to_owned(),
        state: Some(Shown::of(row.view.status.as_str())),
        href: format!("/runs/{}", row.id),
    }
}
