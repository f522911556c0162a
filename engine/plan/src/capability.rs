//! Capabilities of a plan beyond its own commands, and the difference between the capabilities of
//! two plans.
//!
//! The gate for forks and for self-changing workflows uses it. Must not decide: it only lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, Llm},
    id::StepId,
    plan::Plan,
    policy::Budget,
    value::{Node, Value},
    walk::{self, Part},
};

/// Stands for a host that only the run decides.
pub const ANY_HOST: &str = "*";

/// One thing that a plan may reach.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(tag = "capability", content = "value", rename_all = "snake_case")]
pub enum Capability {
    /// A secret, by name.
    Secret(String),
    /// A runner pool other than the default.
    Runner(String),
    /// A container image, of a step, a service or the plan.
    Image(String),
    /// A tool that a model may call.
    Tool(String),
    /// A role, which brings tools of its own.
    Role(String),
    /// A host that a `call` step or an MCP server reaches, or [`ANY_HOST`].
    Host(String),
    /// A step kind of a plugin.
    Plugin(String),
    /// A child run of this workflow; empty for a plan that is made at run time.
    Workflow(String),
    /// More money or tokens than before; the text names the budget and the amount.
    Budget(String),
    /// Calls of a model that no person approves any more; the text names the step and the call.
    Unapproved(String),
}

/// The capability in words: `secret DEPLOY_KEY`.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, value) = match self {
            Self::Secret(name) => ("secret", name),
            Self::Runner(name) => ("runner", name),
            Self::Image(name) => ("image", name),
            Self::Tool(name) => ("tool", name),
            Self::Role(name) => ("role", name),
            Self::Host(name) => ("host", name),
            Self::Plugin(name) => ("plugin", name),
            Self::Workflow(name) => ("workflow", name),
            Self::Budget(text) => ("budget", text),
            Self::Unapproved(text) => ("no approval of", text),
        };
        write!(f, "{kind} {value}")
    }
}

/// Everything that the plan may reach, sorted. Budgets and approvals are not part of it.
#[must_use]
pub fn capabilities(plan: &Plan) -> BTreeSet<Capability> {
    let mut found = BTreeSet::new();
    found.extend(plan.runner.clone().map(Capability::Runner));
    found.extend(plan.image.clone().map(Capability::Image));
    for step in plan.all_steps() {
        let options = &step.options;
        found.extend(options.secrets.iter().cloned().map(Capability::Secret));
        found.extend(options.runner.clone().map(Capability::Runner));
        found.extend(options.image.clone().map(Capability::Image));
        let services = options.services.iter();
        found.extend(services.map(|service| Capability::Image(service.image.clone())));
        of_action(&step.action, &mut found);
    }
    walk::all_parts(plan, &mut |_, part| {
        if let Part::Value(value) = part {
            value.visit(&mut |node| {
                if let Node::Secret(name) = node {
                    found.insert(Capability::Secret(name.to_owned()));
                }
            });
        }
    });
    found
}

fn of_action(action: &Action, found: &mut BTreeSet<Capability>) {
    match action {
        Action::Llm(llm) => {
            found.extend(llm.tools.iter().flatten().cloned().map(Capability::Tool));
            let workflows = llm.tools.iter().flatten().filter_map(|tool| started(tool));
            found.extend(workflows.map(|name| Capability::Workflow(name.to_owned())));
            found.extend(llm.role.clone().map(Capability::Role));
            for url in llm.mcp.iter().filter_map(|server| server.url.as_ref()) {
                found.insert(Capability::Host(host(&Value::text(url.clone()))));
            }
        }
        Action::Call(call) => {
            found.insert(Capability::Host(host(&call.url)));
        }
        Action::Plugin(plugin) => {
            found.insert(Capability::Plugin(plugin.plugin.clone()));
        }
        Action::Workflow(workflow) => {
            let name = workflow.workflow.clone().unwrap_or_default();
            found.insert(Capability::Workflow(name));
        }
        Action::Bash(_)
        | Action::Python(_)
        | Action::Approval(_)
        | Action::Negotiate(_)
        | Action::Wait(_) => {}
    }
}

/// Capabilities of `after` that `before` lacks, sorted; for a new workflow, `before` is an empty
/// plan.
#[must_use]
pub fn capabilities_added(before: &Plan, after: &Plan) -> Vec<Capability> {
    let known = capabilities(before);
    let now = capabilities(after);
    let mut added: Vec<Capability> = now.difference(&known).cloned().collect();
    raised("plan", before.budget.as_ref(), after.budget.as_ref(), &mut added);
    let budgets = budgets_of_steps(before);
    for (id, budget) in budgets_of_steps(after) {
        if let Some(old) = budgets.get(id) {
            raised(id.as_str(), *old, budget, &mut added);
        }
    }
    unapproved(before, after, &mut added);
    added
}

/// The workflow that a tool such as `workflow(deploy)` starts.
fn started(tool: &str) -> Option<&str> {
    Some(tool.strip_prefix("workflow(")?.strip_suffix(')')?.trim())
}

/// Calls that were approved before. A new step is compared with what every Claude step had approved, so that
/// another id is no way around it.
fn unapproved(before: &Plan, after: &Plan, added: &mut Vec<Capability>) {
    let known: BTreeMap<&StepId, BTreeSet<&String>> =
        agents(before).map(|(id, llm)| (id, llm.approve.iter().collect())).collect();
    let common = known.values().cloned().reduce(|all, one| &all & &one).unwrap_or_default();
    for (id, llm) in agents(after) {
        let old = known.get(id).unwrap_or(&common);
        let has_tools = llm.tools.as_ref().is_none_or(|tools| !tools.is_empty());
        let dropped = old.iter().filter(|name| has_tools && !llm.approve.contains(name));
        added.extend(dropped.map(|name| Capability::Unapproved(format!("{id}: {name}"))));
    }
}

fn agents(plan: &Plan) -> impl Iterator<Item = (&StepId, &Llm)> {
    plan.all_steps().filter_map(|step| match &step.action {
        Action::Llm(llm) => Some((&step.id, &**llm)),
        Action::Bash(_)
        | Action::Python(_)
        | Action::Approval(_)
        | Action::Negotiate(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Wait(_)
        | Action::Plugin(_) => None,
    })
}

fn budgets_of_steps(plan: &Plan) -> BTreeMap<&StepId, Option<&Budget>> {
    agents(plan).map(|(id, llm)| (id, llm.budget.as_ref())).collect()
}

/// An absent limit is the highest one.
fn raised(of: &str, before: Option<&Budget>, after: Option<&Budget>, added: &mut Vec<Capability>) {
    let usd = |budget: Option<&Budget>| budget.and_then(|budget| budget.usd);
    let tokens = |budget: Option<&Budget>| budget.and_then(|budget| budget.tokens);
    if let Some(old) = usd(before)
        && usd(after).is_none_or(|new| new > old)
    {
        let new = usd(after).map_or("no limit".to_owned(), |new| format!("${new}"));
        added.push(Capability::Budget(format!("{of}: ${old} → {new}")));
    }
    if let Some(old) = tokens(before)
        && tokens(after).is_none_or(|new| new > old)
    {
        let new = tokens(after).map_or("no limit".to_owned(), |new| format!("{new} tokens"));
        added.push(Capability::Budget(format!("{of}: {old} tokens → {new}")));
    }
}

/// The host of an address, as far as the plan fixes it.
fn host(url: &Value) -> String {
    let fixed = match url.node() {
        Node::Literal(json) => json.as_str().map(|text| (text, true)),
        // The host is fixed only if it ends before the first part that the run fills in.
        Node::Template(text) => text.split("${").next().map(|front| (front, false)),
        Node::Expr(_) | Node::Secret(_) | Node::Malformed(_) => None,
    };
    let parse = |(text, whole): (&str, bool)| {
        // HTTP clients parse addresses more leniently: `https:evil.example/?://good.example`
        // too.
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let end = rest.find(['/', '?', '#', '\\']);
        let authority = rest.get(..end.or(whole.then_some(rest.len()))?)?;
        if authority.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        let host = authority.rsplit('@').next()?.to_lowercase();
        (!host.is_empty()).then_some(host)
    };
    fixed.and_then(parse).unwrap_or_else(|| ANY_HOST.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_the_run_cannot_change() {
        for (url, expected) in [
            (Value::text("https://Api.Example/x"), "api.example"),
            (Value::text("https://good.example@evil.example:8443"), "evil.example:8443"),
            (Value::template("https://api.example/${inputs.v}"), "api.example"),
            (Value::template("https://api.example${inputs.v}"), ANY_HOST),
            (Value::template("https://${inputs.v}/x"), ANY_HOST),
            (Value::template("https:evil.example/?://good.example/${inputs.v}"), ANY_HOST),
            (Value::template("https:///evil.example/${inputs.v}"), ANY_HOST),
            (Value::template("https://good.\texample/${inputs.v}"), ANY_HOST),
            (Value::template("javascript://good.example/${inputs.v}"), ANY_HOST),
            (Value::expr("inputs.url"), ANY_HOST),
        ] {
            assert_eq!(host(&url), expected, "{url:?}");
        }
    }

    #[test]
    fn only_what_is_new_is_listed() {
        let plan = |json: &str| Plan::from_json(json.as_bytes()).unwrap();
        let before = plan(
            r#"{"version":1,"name":"x","budget":{"usd":2,"tokens":9},"steps":[
            {"id":"a","kind":"bash","run":"x","secrets":["A"]}]}"#,
        );
        let after = plan(
            r#"{"version":1,"name":"x","budget":{"usd":5},"image":"python:3","steps":[
            {"id":"a","kind":"bash","run":"x","env":{"T":{"$secret":"A"},"U":[{"$secret":"B"}]}},
            {"id":"b","kind":"llm","prompt":"p","tools":["bash"],"mcp":[{"name":"m","url":"https://m.example/mcp"}]},
            {"id":"c","kind":"call","url":"https://h.example/"}]}"#,
        );
        let expected = [
            Capability::Secret("B".to_owned()),
            Capability::Image("python:3".to_owned()),
            Capability::Tool("bash".to_owned()),
            Capability::Host("h.example".to_owned()),
            Capability::Host("m.example".to_owned()),
            Capability::Budget("plan: $2 → $5".to_owned()),
            Capability::Budget("plan: 9 tokens → no limit".to_owned()),
        ];
        assert_eq!(capabilities_added(&before, &after), expected);
        assert_eq!(capabilities_added(&after, &after), []);
        assert!(!capabilities_added(&after, &before).contains(&expected[0]));
    }

    #[test]
    fn dropped_approvals_are_listed() {
        let plan = |steps: &str| {
            let text = format!(r#"{{"version":1,"name":"x","steps":[{steps}]}}"#);
            Plan::from_json(text.as_bytes()).unwrap()
        };
        let step = |id: &str, approve: &str| {
            format!(
                r#"{{"id":"{id}","kind":"llm","prompt":"p","tools":["bash","write"],"approve":[{approve}]}}"#
            )
        };
        let before = plan(&step("a", r#""bash","write""#));
        let added = |after: &str| {
            let added = capabilities_added(&before, &plan(after)).into_iter();
            added.map(|one| one.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(added(&step("a", r#""write","bash""#)), [""; 0]);
        assert_eq!(added(&step("a", r#""write""#)), ["no approval of a: bash"]);
        let renamed = ["no approval of b: bash", "no approval of b: write"];
        assert_eq!(added(&step("b", "")), renamed);
        assert_eq!(added(&step("a", "").replace(r#"["bash","write"]"#, "[]")), [""; 0]);
    }

    #[test]
    fn workflows_of_tools_are_started_runs() {
        let text = r#"{"version":1,"name":"x","steps":[
            {"id":"b","kind":"llm","prompt":"p","tools":["workflow(deploy)"]}]}"#;
        let found = capabilities(&Plan::from_json(text.as_bytes()).unwrap());
        assert!(found.contains(&Capability::Workflow("deploy".to_owned())), "{found:?}");
    }
}
