//! Tokens: listed, made and revoked by admins of everything.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    ops::{
        Tab,
        tokens::{self, Token, TokensPage},
    },
    shell::Page,
    ui::Tone,
};
use plue_store::TokenRow;

use super::frame;
use crate::{
    access::Role,
    commands::TokenRequest,
    pages::{
        field, html,
        reader::{Form, Reader},
    },
    problem::Problem,
    routes::tokens::{make_token, remove_token},
    server::Api,
};

/// `GET /tokens`
pub(in crate::pages) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let is_done = field(query.unwrap_or_default().as_bytes(), "done").is_some();
    let done = is_done.then(|| (Tone::Good, "The token is revoked.".to_owned()));
    reader.answer(load(&api, &reader, None, done).await)
}

async fn load(
    api: &Api,
    reader: &Reader,
    fresh: Option<String>,
    done: Option<(Tone, String)>,
) -> Result<Page, Problem> {
    let mut frame = frame(reader, Tab::Tokens)?;
    frame.done = done;
    let rows = api.store().tokens().list().await?;
    let model = TokensPage {
        tokens: rows.into_iter().map(token).collect(),
        roles: Role::ALL.iter().map(|role| role.as_str()).collect(),
        fresh,
        now: api.clock().now(),
    };
    Ok(tokens::page(&model, &frame))
}

fn token(row: TokenRow) -> Token {
    Token {
        id: row.id,
        name: row.name,
        role: row.role,
        repo: row.repo,
        created: (row.created_by, row.created_at),
        expires: row.expires_at,
        used: row.used_at,
    }
}

/// `POST /tokens/create`: the page that shows the token, this once.
pub(in crate::pages) async fn create(
    State(api): State<Api>,
    Form { reader, body }: Form,
) -> Response {
    match made(&api, &reader, &body).await {
        Ok(fresh) => reader.answer(load(&api, &reader, Some(fresh), None).await),
        Err(problem) if problem.status == 400 => {
            let done = Some((Tone::Bad, html::reason(&problem)));
            reader.answer(load(&api, &reader, None, done).await)
        }
        Err(problem) => html::problem(&problem, &reader.shell),
    }
}

async fn made(api: &Api, reader: &Reader, body: &[u8]) -> Result<String, Problem> {
    frame(reader, Tab::Tokens)?;
    let given = |name| field(body, name).filter(|text: &String| !text.trim().is_empty());
    let role = given("role").unwrap_or_default().parse().map_err(Problem::bad_request)?;
    let days = given("days").map(|days| days.trim().parse::<u32>()).transpose();
    let days = days.map_err(|_| Problem::bad_request("the days are a whole number"))?;
    let request = TokenRequest {
        name: given("name").unwrap_or_default(),
        role,
        repository: given("repository"),
        expires_in_days: days,
        expires_in: None,
    };
    Ok(make_token(api, &reader.who, request).await?.token)
}

/// `POST /tokens/remove`
pub(in crate::pages) async fn remove(
    State(api): State<Api>,
    Form { reader, body }: Form,
) -> Response {
    reader.redirect(removed(&api, &reader, &body).await)
}

async fn removed(api: &Api, reader: &Reader, body: &[u8]) -> Result<String, Problem> {
    frame(reader, Tab::Tokens)?;
    remove_token(api, &reader.who, &field(body, "token").unwrap_or_default()).await?;
    Ok("/tokens?done=1".to_owned())
}
