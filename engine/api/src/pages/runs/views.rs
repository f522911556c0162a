//! The saved views of the reader, and the forms that change them.

use axum::{extract::State, response::Response};
use plue_dashboard::runs::{
    Filter,
    views::{View, Views},
};

use crate::{
    pages::{
        field,
        reader::{Form, Reader},
    },
    problem::Problem,
    routes::views::{remove_view, save_view},
    server::Api,
    session,
};

/// The views of the reader.
pub(super) async fn of(api: &Api, reader: &Reader) -> Result<Views, Problem> {
    let rows = api.store().saved_views().list(&reader.who.name).await?;
    let saved = rows.into_iter().map(|row| View { filter: Filter::of(&row.query), name: row.name });
    Ok(Views { saved: saved.collect(), csrf: session::csrf(&reader.secret) })
}

/// `POST /runs/views`
pub(in crate::pages) async fn save(
    State(api): State<Api>,
    Form { reader, body }: Form,
) -> Response {
    let given = |name| field(&body, name).unwrap_or_default();
    let saved = save_view(&api, &reader.who, &given("name"), &given("query")).await;
    reader.redirect(saved.map(|view| format!("/runs?{}", view.query)))
}

/// `POST /runs/views/remove`
pub(in crate::pages) async fn remove(
    State(api): State<Api>,
    Form { reader, body }: Form,
) -> Response {
    let name = field(&body, "name").unwrap_or_default();
    let removed = remove_view(&api, &reader.who, &name).await;
    reader.redirect(removed.map(|()| "/runs".to_owned()))
}
