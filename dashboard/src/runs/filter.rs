//! The filter of a list of runs: conditions in the address of the page.

use maud::{Markup, html};

use crate::{state::State, ui::text};

/// Word for all states that have not ended.
pub const ACTIVE: &str = "active";
/// Characters of a condition.
const MAX_VALUE: usize = 200;
/// States with a tab of their own, in order: word in the address and on the page.
const TABS: &[(&str, &str)] = &[
    ("", "All"),
    (ACTIVE, "Active"),
    ("failed", "Failed"),
    ("success", "Passed"),
    ("cancelled", "Cancelled"),
    ("timed_out", "Timed out"),
];

/// Conditions; an empty one is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `owner/name`
    pub repo: String,
    /// Name of a workflow.
    pub workflow: String,
    /// Name of a branch.
    pub branch: String,
    /// Status word, or [`ACTIVE`].
    pub state: String,
    /// Author of the event.
    pub actor: String,
    /// Type of the event.
    pub event: String,
    /// Text in names, or the beginning of a commit or an id.
    pub text: String,
}

// === impl Filter ===

impl Filter {
    /// The filter of a query string; other parameters are ignored.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if let Some(field) = filter.field(&name) {
                *field = value.trim().chars().take(MAX_VALUE).collect();
            }
        }
        let is_state = State::ALL.iter().any(|state| state.as_str() == filter.state);
        if !is_state && filter.state != ACTIVE {
            filter.state = String::new();
        }
        filter
    }

    fn field(&mut self, name: &str) -> Option<&mut String> {
        Some(match name {
            "repo" => &mut self.repo,
            "workflow" => &mut self.workflow,
            "branch" => &mut self.branch,
            "state" => &mut self.state,
            "actor" => &mut self.actor,
            "event" => &mut self.event,
            "q" => &mut self.text,
            _ => return None,
        })
    }

    fn pairs(&self) -> [(&'static str, &str); 7] {
        [
            ("q", &self.text),
            ("repo", &self.repo),
            ("workflow", &self.workflow),
            ("branch", &self.branch),
            ("actor", &self.actor),
            ("event", &self.event),
            ("state", &self.state),
        ]
    }

    /// Address of the first page.
    #[must_use]
    pub fn href(&self) -> String {
        self.address(None)
    }

    /// Address of another page.
    #[must_use]
    pub fn page(&self, way: &str, id: &str) -> String {
        self.address(Some((way, id)))
    }

    /// The conditions as a query string.
    #[must_use]
    pub fn query(&self) -> String {
        self.serialized(None)
    }

    fn serialized(&self, page: Option<(&str, &str)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs().iter().filter(|(_, value)| !value.is_empty()));
        query.extend_pairs(page);
        query.finish()
    }

    fn address(&self, page: Option<(&str, &str)>) -> String {
        match self.serialized(page) {
            query if query.is_empty() => "/runs".to_owned(),
            query => format!("/runs?{query}"),
        }
    }

    /// Tabs of states, and the form of the other conditions.
    #[must_use]
    pub fn draw(&self, events: &[&str]) -> Markup {
        let set = self
            .pairs()
            .iter()
            .filter(|(name, value)| *name != "state" && !value.is_empty())
            .count();
        html! {
            nav.tabs aria-label="State" {
                @for (state, title) in TABS {
                    @let other = Self { state: (*state).to_owned(), ..self.clone() };
                    a href=(other.href()) aria-current=[(self.state == *state).then_some("true")] { (title) }
                }
            }
            form.filters method="get" action="/runs" role="search" data-auto {
                input type="search" name="q" value=(self.text) placeholder="Search runs" aria-label="Search runs" data-filter;
                @if !self.state.is_empty() { input type="hidden" name="state" value=(self.state); }
                details.more-filters open[set > usize::from(!self.text.is_empty())] {
                    summary { "Filters" @if set > 0 { " " span.count { (set) } } }
                    div.filter-fields {
                        (field("repo", "Repository", &self.repo))
                        (field("workflow", "Workflow", &self.workflow))
                        (field("branch", "Branch", &self.branch))
                        (field("actor", "Actor", &self.actor))
                        label {
                            "Trigger"
                            select name="event" {
                                option value="" { "Any" }
                                @for event in events {
                                    option value=(event) selected[self.event == *event] { (event.replace('_', " ")) }
                                }
                            }
                        }
                        div.row {
                            button { "Apply" }
                            @if set > 0 { a href="/runs" { "Clear" } }
                        }
                    }
                }
            }
        }
    }
}

fn field(name: &str, title: &str, value: &str) -> Markup {
    html! {
        label { (title) input name=(name) value=(text::bounded(value, MAX_VALUE)) autocomplete="off" spellcheck="false"; }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_survive_their_address() {
        let filter = Filter {
            repo: "acme/app".to_owned(),
            branch: "feature/ä&b".to_owned(),
            state: ACTIVE.to_owned(),
            text: "50%".to_owned(),
            ..Filter::default()
        };
        let href = filter.href();
        assert_eq!(Filter::of(href.split_once('?').unwrap().1), filter, "{href}");
        assert_eq!(Filter::default().href(), "/runs");
    }

    #[test]
    fn unknown_states_and_parameters_filter_nothing() {
        assert_eq!(Filter::of("state=%3Cb%3E&colour=red"), Filter::default());
        assert_eq!(Filter::of(&format!("q={}", "a".repeat(9_999))).text.len(), MAX_VALUE);
    }
}
