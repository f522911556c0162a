//! Health of a server: its checks, its engines, and deliveries that wait.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Frame, Tab};
use crate::{
    shell::Page,
    state::State,
    ui::{counted, text, time},
};

/// The page of a server's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPage {
    /// Checks of this process.
    pub checks: Vec<Check>,
    /// Engines on the database.
    pub engines: Vec<Engine>,
    /// Deliveries that are not worked off, by repository.
    pub backlogs: Vec<Backlog>,
    /// Time of the page.
    pub now: Timestamp,
}

/// A check with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Subject of the check.
    pub name: &'static str,
    /// Result: passed, failed or waiting.
    pub state: State,
    /// The result in words, with the next step if it is bad.
    pub words: String,
}

/// An engine on the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Id that the process drew at its start.
    pub id: String,
    /// Its machine and process.
    pub host: String,
    /// Version of its program.
    pub version: String,
    /// Times of its start and its last sign of life.
    pub times: (Timestamp, Timestamp),
}

/// Deliveries of a repository that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Repository that the deliveries are for.
    pub repo: String,
    /// Number of deliveries without a result.
    pub waiting: u64,
    /// Arrival of the oldest.
    pub oldest: Timestamp,
    /// Whether one has failed before.
    pub has_failed: bool,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &HealthPage, frame: &Frame) -> Page {
    let content = html! {
        section aria-label="Checks" {
            ul.card.checks {
                @for check in &model.checks {
                    li {
                        (check.state.icon())
                        strong { (check.name) }
                        span.muted { (text::line(&check.words)) }
                    }
                }
            }
        }
        section aria-labelledby="engines" { (engines(model)) }
        section aria-labelledby="backlog" { (backlogs(model)) }
        p.muted { "Numbers for dashboards are at " a href="/metrics" { "/metrics" } " in the format of Prometheus." }
    };
    Tab::Health.page(frame, &content)
}

fn engines(model: &HealthPage) -> Markup {
    html! {
        h2 #engines { "Engines" }
        @if model.engines.is_empty() {
            p.muted { "This server is alone on its database." }
        } @else {
            div.card.flush.scroll {
                table.lines {
                    thead { tr { th { "Engine" } th { "Machine" } th { "Version" } th { "Up" } th { "Last sign of life" } } }
                    tbody {
                        @for engine in &model.engines {
                            @let (started, seen) = engine.times;
                            tr {
                                td data-name="Engine" { (text::code(&engine.id)) }
                                td data-name="Machine" { (text::name(&engine.host)) }
                                td data-name="Version" { (text::name(&engine.version)) }
                                td data-name="Up" { (time::since(started, model.now)) }
                                td data-name="Last sign of life" { (time::when(seen)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn backlogs(model: &HealthPage) -> Markup {
    html! {
        h2 #backlog { "Deliveries that wait" }
        @if model.backlogs.is_empty() {
            p.muted { "Every delivery was worked off." }
        } @else {
            div.card.flush.scroll {
                table.lines {
                    thead { tr { th { "Repository" } th.right { "Waiting" } th { "Oldest" } th { "Tries" } } }
                    tbody {
                        @for one in &model.backlogs {
                            tr {
                                td data-name="Repository" { a href=(address(&one.repo)) { (text::name(&one.repo)) } }
                                td.right.nums data-name="Waiting" { (counted(usize::try_from(one.waiting).unwrap_or(usize::MAX), "delivery")) }
                                td data-name="Oldest" { (time::when(one.oldest)) }
                                td data-name="Tries" {
                                    @if one.has_failed { span.mark.bad { "failed before" } } @else { span.muted { "first" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn address(repo: &str) -> String {
    let repo: String = form_urlencoded::byte_serialize(repo.as_bytes()).collect();
    format!("/webhooks?repo={repo}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn model(text: &str) -> HealthPage {
        let zero = Timestamp::UNIX_EPOCH;
        HealthPage {
            checks: vec![Check { name: "Database", state: State::Failed, words: text.to_owned() }],
            engines: vec![Engine {
                id: text.to_owned(),
                host: text.to_owned(),
                version: text.to_owned(),
                times: (zero, zero),
            }],
            backlogs: vec![Backlog {
                repo: text.to_owned(),
                waiting: 2,
                oldest: zero,
                has_failed: true,
            }],
            now: zero,
        }
    }

    #[test]
    fn checks_engines_and_backlogs_are_shown() {
        let page = harmless(&page(&model("a/b"), &Frame::default()));
        for part in ["is-failed", "2 deliveries", "/webhooks?repo=a%2Fb", "failed before"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        harmless(&page(&model(&evil()[..3_000]), &Frame::default()));
    }
}
