//! The buttons of a run: only those that the reader's role and the run's state allow.

use maud::{Markup, html};

use crate::{
    approvals::{self, Ask},
    state::State,
    ui::form::Action,
};

/// The reader's actions on a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Acts {
    /// Id of the run.
    pub run: String,
    /// State of the run.
    pub state: State,
    /// The session's word; none: the reader may change nothing.
    pub csrf: Option<String>,
    /// Decisions that the run waits for.
    pub asks: Vec<Ask>,
}

// === impl Acts ===

impl Acts {
    /// Buttons of the run as a whole.
    #[must_use]
    pub fn of_run(&self) -> Markup {
        let Some(csrf) = &self.csrf else { return html! {} };
        let (cancel, retry, rerun) = (self.path("cancel"), self.path("retry"), self.path("rerun"));
        let button = |path: &str, label: &str, class: &str, confirm: &str| {
            Action { path, label, class, fields: &[], confirm }.render(csrf)
        };
        html! {
            div.actions {
                @if self.state.is_live() {
                    (button(&cancel, "Cancel", "danger", "Stop this run?"))
                } @else {
                    @if self.state != State::Success { (button(&retry, "Retry", "primary", "")) }
                    (button(&rerun, "Run again", "", ""))
                }
            }
        }
    }

    /// Decisions with their forms, or the reason for which the reader may not decide.
    #[must_use]
    pub fn decisions(&self) -> Markup {
        let csrf = self.csrf.as_deref().unwrap_or_default();
        let back = format!("/runs/{}", self.run);
        html! {
            @for ask in &self.asks { (approvals::card(ask, csrf, &back)) }
        }
    }

    /// Buttons of a step.
    #[must_use]
    pub fn of_step(&self, step: &str) -> Markup {
        let Some(csrf) = self.csrf.as_ref().filter(|_| !self.state.is_live()) else {
            return html! {};
        };
        let fields = [("from", step)];
        let (retry, rerun) = (self.path("retry"), self.path("rerun"));
        let button = |path: &str, label: &str| {
            Action { path, label, class: "", fields: &fields, confirm: "" }.render(csrf)
        };
        html! {
            (button(&retry, "Retry from here"))
            (button(&rerun, "Run again from here"))
        }
    }

    fn path(&self, verb: &str) -> String {
        format!("/runs/{}/{verb}", self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(state: State, csrf: Option<&str>) -> Acts {
        Acts { run: "r".to_owned(), state, csrf: csrf.map(str::to_owned), asks: Vec::new() }
    }

    #[test]
    fn buttons_fit_the_state() {
        for (state, has, has_not) in [
            (State::Running, "/runs/r/cancel", "/runs/r/rerun"),
            (State::Failed, "/runs/r/retry", "/runs/r/cancel"),
            (State::Success, "/runs/r/rerun", "/runs/r/retry"),
        ] {
            let drawn = acts(state, Some("word")).of_run().into_string();
            assert!(drawn.contains(has) && !drawn.contains(has_not), "{state:?}: {drawn}");
        }
        let step = acts(State::Failed, Some("word")).of_step("a\"b").into_string();
        assert!(step.contains(r#"name="from" value="a&quot;b""#), "{step}");
        assert_eq!(acts(State::Running, Some("word")).of_step("a").into_string(), "");
    }

    #[test]
    fn readers_have_no_buttons() {
        let reader = acts(State::Failed, None);
        assert_eq!(reader.of_run().into_string() + &reader.of_step("a").into_string(), "");
    }
}
