//! The audit trail, the newest entry first.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Frame, Tab};
use crate::{
    shell::Page,
    ui::{self, text, time},
};

/// Characters of the details of an entry.
const MAX_DETAIL: usize = 400;

/// A page of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// Entries, the newest first.
    pub entries: Vec<Entry>,
    /// Text that they hold.
    pub search: String,
    /// Number behind which the next page begins.
    pub older: Option<u64>,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number of the entry in the trail.
    pub seq: u64,
    /// Time of the change.
    pub at: Timestamp,
    /// The author, with its kind: `token:ci`.
    pub principal: String,
    /// A dotted verb: `run.cancel`.
    pub action: String,
    /// Id of the changed thing.
    pub subject: String,
    /// Repository of the changed thing.
    pub repo: Option<String>,
    /// Further fields as JSON; empty: none.
    pub detail: String,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &AuditPage, frame: &Frame) -> Page {
    let content = html! {
        form.filters method="get" action="/audit" role="search" {
            input type="search" name="q" value=(model.search) placeholder="Person, action, subject or repository"
                aria-label="Search the audit trail" data-filter;
            button { "Search" }
        }
        @if model.entries.is_empty() { div.card { (nothing(model)) } } @else { (table(model)) }
        @if let Some(older) = model.older {
            nav.pager aria-label="Pages" { a.button rel="next" href=(address(&model.search, older)) { "Older →" } }
        }
    };
    Tab::Audit.page(frame, &content)
}

fn address(search: &str, older: u64) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if !search.is_empty() {
        query.append_pair("q", search);
    }
    query.append_pair("before", &older.to_string());
    format!("/audit?{}", query.finish())
}

fn nothing(model: &AuditPage) -> Markup {
    match model.search.is_empty() {
        true => ui::empty(
            "Nothing was changed yet",
            "Each change that a person or a token makes is recorded here: runs started and cancelled, decisions, \
             tokens, secrets, repositories.",
            &[],
        ),
        false => html! {
            div.empty {
                h2 { "No entry holds this text" }
                @if model.older.is_some() { p.muted { "Older ones were not looked at yet." } }
                p { a.button href="/audit" { "Show all entries" } }
            }
        },
    }
}

fn table(model: &AuditPage) -> Markup {
    html! {
        div.card.flush.scroll {
            table.lines {
                thead { tr { th { "When" } th { "Who" } th { "What" } th { "To" } th { "Details" } } }
                tbody {
                    @for entry in &model.entries {
                        tr {
                            td data-name="When" { (time::when(entry.at)) }
                            td data-name="Who" { (text::name(&entry.principal)) }
                            td.word data-name="What" { (text::code(&entry.action)) }
                            td data-name="To" { (subject(entry)) }
                            td.wide data-name="Details" {
                                @if !entry.detail.is_empty() { code.muted { (text::bounded(&entry.detail, MAX_DETAIL)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn subject(entry: &Entry) -> Markup {
    let is_run = entry.action.starts_with("run.")
        && !entry.subject.is_empty()
        && entry.subject.bytes().all(|byte| byte.is_ascii_alphanumeric());
    html! {
        @if is_run { a href={ "/runs/" (entry.subject) } { (text::code(&entry.subject)) } }
        @else { (text::name(&entry.subject)) }
        @if let Some(repo) = &entry.repo { span.sub { (text::name(repo)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn entry(subject: &str, action: &str) -> Entry {
        Entry {
            seq: 1,
            at: Timestamp::UNIX_EPOCH,
            principal: "person:ada".to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            repo: Some("acme/app".to_owned()),
            detail: "{\"approve\":true}".to_owned(),
        }
    }

    fn drawn(entries: Vec<Entry>, search: &str) -> String {
        let model = AuditPage { entries, search: search.to_owned(), older: Some(7) };
        harmless(&page(&model, &Frame::default()))
    }

    #[test]
    fn entries_link_runs_and_pages_keep_searches() {
        let page = drawn(vec![entry("01abc", "run.decide"), entry("t1", "token.create")], "a&b");
        assert!(page.contains("href=\"/runs/01abc\"") && !page.contains("/runs/t1"), "{page}");
        assert!(page.contains("/audit?q=a%26b&amp;before=7"), "{page}");
    }

    #[test]
    fn searches_without_a_match_offer_the_rest() {
        let page = drawn(Vec::new(), "x");
        assert!(page.contains("No entry holds") && page.contains("Older ones"), "{page}");
        assert!(drawn(Vec::new(), "").contains("Nothing was changed yet"));
    }

    #[test]
    fn hostile_entries_stay_text() {
        let hostile = Entry {
            principal: evil(),
            repo: Some(evil()),
            detail: evil(),
            ..entry(&evil(), &evil())
        };
        drawn(vec![hostile], "\"><script>x</script>");
    }
}
