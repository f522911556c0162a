//! The address of a run's page with what the reader has chosen: the view, a step, opened groups.

use std::collections::BTreeSet;

/// Groups that an address opens.
const MAX_OPEN: usize = 20;

/// The picture above the table of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// The plan as a graph.
    #[default]
    Graph,
    /// The attempts as bars on a time axis.
    Timeline,
}

/// The choices of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Id of the run.
    pub run: String,
    /// Picture above the table of steps.
    pub view: View,
    /// Step whose details are shown.
    pub step: Option<String>,
    /// First steps of opened groups.
    pub open: BTreeSet<String>,
}

// === impl Address ===

impl Address {
    /// The address of a run by the query of a request.
    #[must_use]
    pub fn of(run: &str, query: &str) -> Self {
        let mut address = Self { run: run.to_owned(), ..Self::default() };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "view" if value == "timeline" => address.view = View::Timeline,
                "step" if !value.is_empty() => address.step = Some(value.into_owned()),
                "open" if address.open.len() < MAX_OPEN => {
                    address.open.insert(value.into_owned());
                }
                _ => {}
            }
        }
        address
    }

    /// The path with its query.
    #[must_use]
    pub fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.view == View::Timeline {
            query.append_pair("view", "timeline");
        }
        for step in &self.open {
            query.append_pair("open", step);
        }
        if let Some(step) = &self.step {
            query.append_pair("step", step);
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/runs/{}{mark}{query}", self.run)
    }

    /// The same with the details of a step.
    #[must_use]
    pub fn at(&self, step: &str) -> String {
        Self { step: Some(step.to_owned()), ..self.clone() }.path()
    }

    /// The same without details.
    #[must_use]
    pub fn closed(&self) -> String {
        Self { step: None, ..self.clone() }.path()
    }

    /// The same with another picture.
    #[must_use]
    pub fn viewing(&self, view: View) -> String {
        Self { view, ..self.clone() }.path()
    }

    /// The same with the group of a step opened.
    #[must_use]
    pub fn opening(&self, step: &str) -> String {
        let mut address = self.clone();
        address.open.insert(step.to_owned());
        address.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_survive_the_address() {
        let address = Address::of("r1", "step=a%26b&view=timeline&open=x&open=y&foo=1");
        assert_eq!(address.step.as_deref(), Some("a&b"));
        assert_eq!(address.path(), "/runs/r1?view=timeline&open=x&open=y&step=a%26b");
        assert_eq!(Address::of("r1", "").path(), "/runs/r1");
        assert_eq!(address.closed(), "/runs/r1?view=timeline&open=x&open=y");
        assert_eq!(address.viewing(View::Graph), "/runs/r1?open=x&open=y&step=a%26b");
    }

    #[test]
    fn opened_groups_are_bounded() {
        let query: String = (0..100).map(|at| format!("open=s{at}&")).collect();
        assert_eq!(Address::of("r1", &query).open.len(), MAX_OPEN);
    }
}
