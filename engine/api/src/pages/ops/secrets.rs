//! Names of secrets of the repositories that the reader maintains.

use axum::{extract::State, response::Response};
use plue_dashboard::{
    ops::{
        Tab,
        secrets::{self, Secret},
    },
    shell::Page,
};
use plue_store::secret::{EVERYWHERE, SecretRow};

use super::frame;
use crate::{access::Role, pages::reader::Reader, problem::Problem, scope::scope_of, server::Api};

/// `GET /secrets`
pub(in crate::pages) async fn page(State(api): State<Api>, reader: Reader) -> Response {
    reader.answer(load(&api, &reader).await)
}

async fn load(api: &Api, reader: &Reader) -> Result<Page, Problem> {
    let frame = frame(reader, Tab::Secrets)?;
    let mut found = Vec::new();
    match reader.who.clone().asking(Role::Maintainer).repos() {
        None => {
            let rows = api.store().secrets().list(None).await?;
            found.extend(rows.into_iter().filter_map(of_a_step));
        }
        Some(repos) => {
            for repo in repos {
                let rows = api.store().secrets().list(Some(&scope_of(&repo))).await?;
                found.extend(rows.into_iter().map(|row| secret(row, Some(repo.clone()))));
            }
        }
    }
    found.sort_by(|one, other| (&one.repo, &one.name).cmp(&(&other.repo, &other.name)));
    Ok(secrets::page(&found, &frame))
}

/// A secret that steps may name; none for those that verify hooks.
fn of_a_step(row: SecretRow) -> Option<Secret> {
    let repo = match row.scope.split_once(':') {
        Some(("repo", repo)) => Some(repo.to_owned()),
        _ if row.scope == EVERYWHERE => None,
        Some(_) | None => return None,
    };
    Some(secret(row, repo))
}

fn secret(row: SecretRow, repo: Option<String>) -> Secret {
    Secret { name: row.name, repo, key: row.key_id, times: (row.created_at, row.updated_at) }
}
