//! The audit trail, searched over a bounded number of its rows.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use plue_dashboard::{
    ops::{
        Tab,
        audit::{self, AuditPage, Entry},
    },
    shell::Page,
};
use plue_store::AuditRow;
use serde_json::Value as Json;

use super::frame;
use crate::{
    pages::{field, reader::Reader},
    problem::Problem,
    server::Api,
};

/// Entries of a page.
const PAGE: usize = 50;
/// Rows that one page looks at, and rows of one question.
const SEARCHED: usize = 5_000;
const BATCH: u32 = 1_000;
/// Characters of a search.
const MAX_SEARCH: usize = 100;

/// `GET /audit`
pub(in crate::pages) async fn page(
    State(api): State<Api>,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    reader.answer(load(&api, &reader, query.as_bytes()).await)
}

async fn load(api: &Api, reader: &Reader, query: &[u8]) -> Result<Page, Problem> {
    let frame = frame(reader, Tab::Audit)?;
    let search: String =
        field(query, "q").unwrap_or_default().trim().chars().take(MAX_SEARCH).collect();
    let words = search.to_lowercase();
    let mut before: Option<u64> = field(query, "before").and_then(|text| text.parse().ok());
    let (mut entries, mut seen, mut older) = (Vec::new(), 0, None);
    let batch = if words.is_empty() { u32::try_from(PAGE + 1).unwrap_or(BATCH) } else { BATCH };
    'rows: loop {
        let rows = api.store().audit().before(before, batch).await?;
        let is_last = rows.len() < batch as usize;
        for row in rows {
            if entries.len() == PAGE || seen == SEARCHED {
                older = before;
                break 'rows;
            }
            (before, seen) = (Some(row.seq), seen + 1);
            if holds(&row, &words) {
                entries.push(entry(row));
            }
        }
        if is_last {
            break;
        }
    }
    Ok(audit::page(&AuditPage { entries, search, older }, &frame))
}

fn holds(row: &AuditRow, words: &str) -> bool {
    let repo = row.repo.as_deref().unwrap_or_default();
    words.is_empty()
        || [&row.principal, &row.action, &row.subject, repo]
            .iter()
            .any(|text| text.to_lowercase().contains(words))
}

fn entry(row: AuditRow) -> Entry {
    let detail = match &row.detail {
        Json::Object(fields) if fields.is_empty() => String::new(),
        Json::Null => String::new(),
        detail => detail.to_string(),
    };
    Entry {
        seq: row.seq,
        at: row.at,
        principal: row.principal,
        action: row.action,
        subject: row.subject,
        repo: row.repo,
        detail,
    }
}
