//! What there is to tell of a commit, as it is stored: which plans it has, what became of each when
//! the event came, and what the change does to it.

use plue_forge::feedback::PlanChange;
use plue_plan::{
    Diagnostic, Plan, RunId,
    capability::{Capability, capabilities_added},
    diff::diff,
};
use serde::{Deserialize, Serialize};

/// All that there is to tell.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Content {
    /// Whether it is about a pull request: contexts say so, for a commit may have both.
    pub(crate) is_pull_request: bool,
    /// The plans, in the order of their files.
    pub(crate) plans: Vec<Entry>,
    /// Remarks for whoever reviews.
    pub(crate) notices: Vec<String>,
}

/// One plan, or a file that has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) fate: Fate,
    pub(crate) change: PlanChange,
}

/// What became of a plan when the event came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// It runs.
    Run(RunId),
    /// It had nothing to do.
    Skipped(String),
    /// It is planned and does not run before somebody allows it.
    Held(String),
    /// There is no plan.
    Invalid(Vec<Diagnostic>),
}

// === impl Content ===

impl Content {
    /// Adds a plan, and a remark if the change lets it reach more than before.
    pub(crate) fn add(&mut self, entry: Entry, reaches: &[Capability]) {
        if !reaches.is_empty() {
            let list: Vec<String> = reaches.iter().map(words).collect();
            let list = list.join(", ");
            self.notices.push(format!("{} would newly reach: {list}", entry.name));
        }
        self.plans.push(entry);
    }
}

/// What a change does to a plan, and what that lets it reach. `before`: `None` if nobody compared,
/// `Some(None)` if there was no such plan.
pub(crate) fn change(before: Option<Option<&Plan>>, now: &Plan) -> (PlanChange, Vec<Capability>) {
    let Some(before) = before else { return (PlanChange::Unchanged, Vec::new()) };
    let Some(before) = before else {
        let nothing = Plan::new(now.name.clone(), Vec::new());
        return (PlanChange::New, capabilities_added(&nothing, now));
    };
    let diff = diff(before, now);
    let change = if diff.is_empty() { PlanChange::Unchanged } else { PlanChange::Changed(diff) };
    (change, capabilities_added(before, now))
}

/// The entry of a plan that a change takes away.
pub(crate) fn removed(file: &str, name: &str) -> Entry {
    Entry {
        file: file.to_owned(),
        name: name.to_owned(),
        fate: Fate::Skipped("the change removes it".to_owned()),
        change: PlanChange::Removed,
    }
}

/// A capability, as people say it.
pub(crate) fn words(capability: &Capability) -> String {
    let (what, which) = match capability {
        Capability::Secret(name) => ("secret", name),
        Capability::Runner(name) => ("runner", name),
        Capability::Image(name) => ("image", name),
        Capability::Tool(name) => ("tool", name),
        Capability::Role(name) => ("role", name),
        Capability::Host(name) => ("host", name),
        Capability::Plugin(name) => ("plugin", name),
        Capability::Workflow(name) => ("workflow", name),
        Capability::Budget(text) => ("budget", text),
    };
    format!("{what} {which}")
}

#[cfg(test)]
mod tests {
    use plue_plan::{Action, Step, action::Bash};

    use super::*;

    fn plan(secrets: &[&str]) -> Plan {
        let bash = Bash { run: "true".to_owned(), shell: "bash".to_owned() };
        let mut step = Step::new("a", Action::Bash(bash));
        step.options.secrets = secrets.iter().map(|&name| name.to_owned()).collect();
        Plan::new("CI", vec![step])
    }

    #[test]
    fn a_plan_that_reaches_more_than_before_is_remarked_on() {
        let (before, now) = (plan(&[]), plan(&["DEPLOY"]));
        let (change, reaches) = change(Some(Some(&before)), &now);
        assert!(matches!(change, PlanChange::Changed(_)));
        let mut content = Content::default();
        let fate = Fate::Held("it is from a fork".to_owned());
        let entry = Entry { file: "a".to_owned(), name: "CI".to_owned(), fate, change };
        content.add(entry, &reaches);
        assert_eq!(content.notices, ["CI would newly reach: secret DEPLOY"]);
    }

    #[test]
    fn what_nobody_compared_is_not_called_new() {
        assert_eq!(change(None, &plan(&["X"])), (PlanChange::Unchanged, Vec::new()));
        assert_eq!(change(Some(None), &plan(&[])).0, PlanChange::New);
        assert_eq!(change(Some(Some(&plan(&[]))), &plan(&[])).0, PlanChange::Unchanged);
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let now = plan(&["X"]);
        let (change, _) = change(Some(Some(&plan(&[]))), &now);
        let fate = Fate::Run(RunId::new("r1"));
        let entry = Entry { file: "f".to_owned(), name: "CI".to_owned(), fate, change };
        let content = Content { is_pull_request: true, plans: vec![entry], notices: Vec::new() };
        let text = serde_json::to_string(&content).unwrap();
        assert_eq!(serde_json::from_str::<Content>(&text).unwrap(), content);
    }
}
