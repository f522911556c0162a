//! Actions of a run's page: each a form, checked as the API checks its requests.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};

use super::super::{OwnForm, field, reader::Reader};
use crate::{
    access::Role,
    commands::{RerunRequest, RetryFiles, RetryRequest},
    problem::Problem,
    routes::runs::{cancel_run, rerun_run, retry_run},
    server::Api,
};

/// `POST /runs/ID/cancel`
pub(in crate::pages) async fn cancel(
    State(api): State<Api>,
    _: OwnForm,
    reader: Reader,
    Path(run): Path<String>,
    body: Bytes,
) -> Response {
    let act = async {
        reader.check(field(&body, "csrf").as_deref())?;
        let caller = reader.who.clone().asking(Role::Writer);
        let row = cancel_run(&api, &caller, &run, false).await?;
        Ok(format!("/runs/{}", row.id))
    };
    let to: Result<String, Problem> = act.await;
    reader.redirect(to)
}

/// `POST /runs/ID/retry`, of what did not succeed or from the step `from`.
pub(in crate::pages) async fn retry(
    State(api): State<Api>,
    _: OwnForm,
    reader: Reader,
    Path(run): Path<String>,
    body: Bytes,
) -> Response {
    let act = async {
        reader.check(field(&body, "csrf").as_deref())?;
        let caller = reader.who.clone().asking(Role::Writer);
        let from = from(&body);
        let request = RetryRequest { from, failed: false, files: RetryFiles::default() };
        let retried = retry_run(&api, &caller, &run, request).await?;
        Ok(format!("/runs/{}", retried.run.id))
    };
    let to: Result<String, Problem> = act.await;
    reader.redirect(to)
}

/// `POST /runs/ID/rerun`, as a whole or from the step `from`: leads to the new run.
pub(in crate::pages) async fn rerun(
    State(api): State<Api>,
    _: OwnForm,
    reader: Reader,
    Path(run): Path<String>,
    body: Bytes,
) -> Response {
    let act = async {
        reader.check(field(&body, "csrf").as_deref())?;
        let caller = reader.who.clone().asking(Role::Writer);
        let request = RerunRequest { from: from(&body), failed: false };
        let row = rerun_run(&api, &caller, &run, api.ids().run(), request).await?;
        Ok(format!("/runs/{}", row.id))
    };
    let to: Result<String, Problem> = act.await;
    reader.redirect(to)
}

fn from(body: &[u8]) -> Option<String> {
    field(body, "from").filter(|step| !step.is_empty())
}
