//! Pull requests: each plan before and after the change, its check, and whatever waits for a maintainer.

use jiff::Timestamp;
use maud::{Markup, html};
use plue_plan::diff::PlanDiff;

use crate::{
    shell::{Page, Section},
    state::State,
    ui::{self, Tone, counted, form::Action, notice, text, time},
    workflows::segment,
};

mod diff;

/// Plans of one page.
const MAX_PLANS: usize = 100;
/// Remarks of one page.
const MAX_NOTICES: usize = 50;

/// The list of pull requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullsPage {
    /// The newest heads of pull requests, the newest first.
    pub lines: Vec<PullLine>,
    /// Number of the topic `runs` that the page shows.
    pub seq: u64,
}

/// A pull request of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullLine {
    /// Its repository and number.
    pub key: (String, u64),
    /// Title of the pull request, if the report has it.
    pub title: Option<String>,
    /// Its newest commit that was planned.
    pub sha: String,
    /// Time of the plan.
    pub at: Timestamp,
    /// Plans that wait for a maintainer, that are invalid, that the change alters, and all.
    pub plans: [usize; 4],
}

/// The page of a pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct PullPage {
    /// Its repository and number.
    pub key: (String, u64),
    /// The pull request as its forge has it.
    pub about: About,
    /// The commit that was planned.
    pub sha: String,
    /// Time of the plan.
    pub at: Timestamp,
    /// Its plans, in the order of their files.
    pub plans: Vec<PullPlan>,
    /// Remarks for reviewers: capabilities that the change gains.
    pub notices: Vec<String>,
    /// Person who let the commit run.
    pub allowed_by: Option<String>,
    /// Whether the reader may let it run.
    pub may_allow: bool,
    /// Message about the last action.
    pub done: Option<(Tone, String)>,
    /// The session's word, for the forms of the page.
    pub csrf: String,
    /// Number of the topic `runs` that the page shows.
    pub seq: u64,
}

/// A pull request as its forge has it; empty in reports of older versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Title of the pull request.
    pub title: String,
    /// Person whose event was planned.
    pub actor: Option<String>,
    /// Branch of the change, and the branch that takes it.
    pub branches: Option<(String, String)>,
    /// Address of its page at the forge, over HTTP.
    pub url: Option<String>,
}

/// A plan of a pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct PullPlan {
    /// Name of the plan.
    pub name: String,
    /// Path of its workflow file.
    pub file: String,
    /// Outcome of the event for it.
    pub outcome: Outcome,
    /// Change against the base.
    pub change: Option<PlanChange>,
}

/// Outcome of an event for a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A run was started; its state, if it is still there.
    Run(String, Option<State>),
    /// No trigger fired; the reason.
    Skipped(String),
    /// A maintainer must allow the commit; the reason.
    Waits(String),
    /// The file has no valid plan; the problems.
    Invalid(Vec<String>),
}

/// Change of a plan against the base.
#[derive(Debug, Clone, PartialEq)]
pub enum PlanChange {
    /// The base does not have it.
    New,
    /// The change removes it.
    Removed,
    /// Both have it, and it differs.
    Changed(PlanDiff),
}

/// Address of the page of a pull request.
#[must_use]
pub fn address(repo: &str, number: u64) -> String {
    format!("/pulls/{}/{number}", segment(repo))
}

/// The list of pull requests.
#[must_use]
pub fn list(model: &PullsPage) -> Page {
    let body = html! {
        div.head { h1 { "Pull requests" } (ui::help("forks")) }
        @if model.lines.is_empty() {
            div.card { (nothing()) }
        } @else {
            ol.card.flush.flows { @for line in &model.lines { (draw_line(line)) } }
        }
    };
    Page::new("Pull requests", body).section(Section::Pulls).follow("runs", model.seq)
}

fn nothing() -> Markup {
    ui::empty(
        "No pull request was planned yet",
        "When a forge reports a pull request, its plans are compared with those of the base before anything \
         runs. A fork's change waits here until a maintainer allows it. Give a plan the trigger, and the \
         repository a token of its forge:",
        &[
            "Trigger.on_pull_request()",
            "plue repo add owner/name --forge github --url https://… --token FILE",
        ],
    )
}

fn draw_line(line: &PullLine) -> Markup {
    let [waiting, invalid, changed, all] = line.plans;
    let (repo, number) = &line.key;
    html! {
        li.flow.pull {
            div.flow-main {
                div.runs-title {
                    (sum_icon(waiting, invalid))
                    a.runs-link href=(address(repo, *number)) data-row {
                        @match &line.title {
                            Some(title) if !title.is_empty() => { (text::line(title)) }
                            _ => { (text::name(repo)) }
                        }
                        span.muted { " #" (number) }
                    }
                    @if waiting > 0 { span.mark.wait { "waits for a maintainer" } }
                    @if changed > 0 { span.tag { (counted(changed, "plan")) " changed" } }
                }
                div.runs-sub { span { (text::name(repo)) } span { (text::hash(&line.sha)) } span { (counted(all, "plan")) } }
            }
            span.runs-num.muted { (time::when(line.at)) }
        }
    }
}

fn sum_icon(waiting: usize, invalid: usize) -> Markup {
    let state = match (waiting, invalid) {
        (0, 0) => State::Success,
        (0, _) => State::Failed,
        (_, _) => State::Waiting,
    };
    state.icon()
}

/// The page of a pull request.
#[must_use]
pub fn page(model: &PullPage) -> Page {
    let (repo, number) = &model.key;
    let waits = model.plans.iter().filter(|plan| matches!(plan.outcome, Outcome::Waits(_))).count();
    let body = html! {
        nav.crumbs aria-label="Path" { a href="/pulls" { "Pull requests" } " / " (text::name(repo)) }
        div.head {
            h1 {
                @if !model.about.title.is_empty() { (text::line(&model.about.title)) " " }
                span.muted { "#" (number) }
            }
            @if let Some(url) = forge_page(&model.about) {
                div.actions { a.button href=(url) rel="noopener noreferrer" { "Open at the forge ↗" } }
            }
        }
        (facts(model))
        @if let Some((tone, message)) = &model.done { (notice(*tone, &html! { p { (message) } })) }
        @if waits > 0 { (gate(model, waits)) }
        @if let Some(by) = &model.allowed_by {
            (notice(Tone::Idle, &html! { p { "Allowed to run, without secrets, by " (text::name(by)) "." } }))
        }
        @if waits == 0 && !model.notices.is_empty() { (notices(model)) }
        @for plan in model.plans.iter().take(MAX_PLANS) { (draw_plan(plan)) }
        @if model.plans.len() > MAX_PLANS {
            p.muted { "And " (counted(model.plans.len() - MAX_PLANS, "more plan")) "." }
        }
    };
    let title = match model.about.title.as_str() {
        "" => format!("{repo} #{number}"),
        title => format!("{title} · {repo} #{number}"),
    };
    Page::new(title, body).section(Section::Pulls).follow("runs", model.seq)
}

/// The address of its page at the forge, if a link may have it.
fn forge_page(about: &About) -> Option<&str> {
    let is_web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    about.url.as_deref().filter(is_web)
}

fn facts(model: &PullPage) -> Markup {
    let About { actor, branches, .. } = &model.about;
    html! {
        p.ask-facts {
            @if let Some(actor) = actor { span { "by " (text::name(actor)) } }
            @if let Some((head, base)) = branches {
                span.branch { (text::name(head)) } span { "→" } span.branch { (text::name(base)) }
            }
            span { "at " (text::hash(&model.sha)) }
            span { "planned " (time::when(model.at)) }
        }
    }
}

/// The question to a maintainer, with what a yes would newly reach.
fn gate(model: &PullPage, waits: usize) -> Markup {
    let (repo, number) = &model.key;
    let number = number.to_string();
    let allow = Action {
        path: "/pulls/allow",
        label: "Allow this commit to run",
        class: "primary",
        fields: &[("repo", repo), ("number", &number), ("commit", &model.sha)],
        confirm: "Let this commit run? Read its changes first: it runs isolated and without secrets.",
    };
    html! {
        section.card.ask aria-labelledby="gate" {
            h2 #gate { (counted(waits, "plan")) (if waits == 1 { " waits" } else { " wait" }) " for a maintainer" }
            p.muted { "The commit is of a person who may not write to the repository. It runs isolated and without secrets, and only after a maintainer has read it." }
            (notices(model))
            @if model.may_allow { (allow.render(&model.csrf)) }
            @else { p.muted { "A maintainer of this repository allows it." } }
        }
    }
}

fn notices(model: &PullPage) -> Markup {
    html! {
        @if !model.notices.is_empty() {
            (notice(Tone::Wait, &html! {
                ul.plain-list { @for remark in model.notices.iter().take(MAX_NOTICES) { li { (text::line(remark)) } } }
            }))
        }
    }
}

fn draw_plan(plan: &PullPlan) -> Markup {
    html! {
        section.card.pull-plan {
            div.head {
                (outcome_icon(&plan.outcome))
                h2 { (text::name(&plan.name)) }
                span.muted { (text::code(&plan.file)) }
                @match &plan.change {
                    Some(PlanChange::New) => { span.tag { "new" } }
                    Some(PlanChange::Removed) => { span.tag { "removed" } }
                    Some(PlanChange::Changed(_)) => { span.tag { "changed" } }
                    None => { span.muted { "as on the base" } }
                }
            }
            (outcome(&plan.outcome))
            @if let Some(PlanChange::Changed(diff)) = &plan.change { (diff::draw(diff)) }
        }
    }
}

fn outcome_icon(outcome: &Outcome) -> Markup {
    let state = match outcome {
        Outcome::Run(_, state) => state.unwrap_or(State::Skipped),
        Outcome::Skipped(_) => State::Skipped,
        Outcome::Waits(_) => State::Waiting,
        Outcome::Invalid(_) => State::Failed,
    };
    state.icon()
}

fn outcome(outcome: &Outcome) -> Markup {
    html! {
        @match outcome {
            Outcome::Run(run, Some(state)) => { p { a href={ "/runs/" (run) } { (state.word()) ": run " (text::code(run)) } } }
            Outcome::Run(run, None) => { p.muted { "Its run " (text::code(run)) " is not kept any more." } }
            Outcome::Skipped(reason) => { p.muted { "Did not run: " (text::line(reason)) } }
            Outcome::Waits(reason) => { p.wait { "Waits: " (text::line(reason)) } }
            Outcome::Invalid(problems) => {
                ul.problems { @for problem in problems.iter().take(MAX_NOTICES) { li { (text::line(problem)) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use plue_plan::{Plan, Step, diff::diff};
    use serde_json::json;

    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn changed(text: &str) -> PlanDiff {
        let plan = |run: &str, secrets: &[&str]| {
            let step = json!({"id": "build", "kind": "bash", "run": run, "secrets": secrets});
            let step: Step = serde_json::from_value(step).unwrap();
            let mut plan = Plan::new("CI", vec![step]);
            plan.goal = Some(text.to_owned());
            plan
        };
        let mut after = plan(text, &["DEPLOY"]);
        after.goal = None;
        diff(&plan("make", &[]), &after)
    }

    fn model(text: &str, outcome: Outcome) -> PullPage {
        PullPage {
            key: ("acme/app".to_owned(), 7),
            about: About {
                title: text.to_owned(),
                actor: Some(text.to_owned()),
                branches: Some((text.to_owned(), "main".to_owned())),
                url: Some("https://github.com/acme/app/pull/7".to_owned()),
            },
            sha: "c0ffee12345".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            plans: vec![PullPlan {
                name: text.to_owned(),
                file: text.to_owned(),
                outcome,
                change: Some(PlanChange::Changed(changed(text))),
            }],
            notices: vec![format!("CI would newly reach: secret DEPLOY {text}")],
            allowed_by: None,
            may_allow: true,
            done: None,
            csrf: "word".to_owned(),
            seq: 2,
        }
    }

    #[test]
    fn commits_that_wait_have_a_button_for_maintainers() {
        let waits = model("make all", Outcome::Waits("it is from a fork".to_owned()));
        let page_of = |model: &PullPage| harmless(&page(model));
        let drawn = page_of(&waits);
        for part in [
            "/pulls/allow",
            r#"name="commit" value="c0ffee12345""#,
            "would newly reach",
            "make all",
            r#"href="https://github.com/acme/app/pull/7""#,
        ] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        let drawn = page_of(&PullPage { may_allow: false, ..waits });
        assert!(!drawn.contains("/pulls/allow") && drawn.contains("A maintainer"), "{drawn}");
        let drawn = page_of(&model("x", Outcome::Run("r1".to_owned(), Some(State::Success))));
        assert!(!drawn.contains("/pulls/allow") && drawn.contains("/runs/r1"), "{drawn}");
    }

    #[test]
    fn addresses_of_other_schemes_are_no_links() {
        let mut hostile = model("x", Outcome::Skipped("s".to_owned()));
        hostile.about.url = Some("javascript:alert(1)".to_owned());
        let drawn = page(&hostile).render(&crate::shell::Shell::default());
        assert!(!drawn.contains("javascript:"), "{drawn}");
    }

    #[test]
    fn hostile_plans_stay_text() {
        let text = evil();
        for outcome in [
            Outcome::Waits(text.clone()),
            Outcome::Skipped(text.clone()),
            Outcome::Invalid(vec![text.clone(); 500]),
        ] {
            harmless(&page(&model(&text, outcome)));
        }
    }

    #[test]
    fn lists_show_those_that_wait() {
        let line = PullLine {
            key: ("acme/app".to_owned(), 7),
            title: Some("Make it faster".to_owned()),
            sha: "c0ffee".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            plans: [1, 0, 2, 3],
        };
        let drawn = harmless(&list(&PullsPage { lines: vec![line], seq: 1 }));
        for part in
            ["Make it faster", "/pulls/acme%2Fapp/7", "waits for a maintainer", "2 plans changed"]
        {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        let empty = harmless(&list(&PullsPage { lines: Vec::new(), seq: 1 }));
        assert!(empty.contains("Trigger.on_pull_request"), "{empty}");
    }
}
