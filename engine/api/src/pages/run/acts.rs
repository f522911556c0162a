//! Actions of a run's page: each a form, checked as the API checks its requests.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::super::{field, reader::Form};
use crate::{
    access::Role,
    commands::{RerunRequest, RetryFiles, RetryRequest},
    routes::runs::{cancel_run, rerun_run, retry_run},
    server::Api,
};

/// `POST /runs/ID/cancel`
pub(in crate::pages) async fn cancel(
    State(api): State<Api>,
    Path(run): Path<String>,
    Form { reader, .. }: Form,
) -> Response {
    let caller = reader.who.clone().asking(Role::Writer);
    let row = cancel_run(&api, &caller, &run, false).await;
    reader.redirect(row.map(|row| page_of(&row.id)))
}

/// `POST /runs/ID/retry`, of what did not succeed or from the step `from`.
pub(in crate::pages) async fn retry(
    State(api): State<Api>,
    Path(run): Path<String>,
    Form { reader, body }: Form,
) -> Response {
    let caller = reader.who.clone().asking(Role::Writer);
    let request = RetryRequest { from: from(&body), failed: false, files: RetryFiles::default() };
    let retried = retry_run(&api, &caller, &run, request).await;
    reader.redirect(retried.map(|retried| page_of(&retried.run.id)))
}

/// `POST /runs/ID/rerun`, as a whole or from the step `from`: leads to the new run.
pub(in crate::pages) async fn rerun(
    State(api): State<Api>,
    Path(run): Path<String>,
    Form { reader, body }: Form,
) -> Response {
    let caller = reader.who.clone().asking(Role::Writer);
    let request = RerunRequest { from: from(&body), failed: false };
    let row = rerun_run(&api, &caller, &run, api.ids().run(), request).await;
    reader.redirect(row.map(|row| page_of(&row.id)))
}

fn page_of(run: &impl std::fmt::Display) -> String {
    format!("/runs/{run}")
}

fn from(body: &[u8]) -> Option<String> {
    field(body, "from").filter(|step| !step.is_empty())
}
