//! The inbox of decisions: what waits for people over all runs that the reader may see, each with its
//! form.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    shell::{Page, Section},
    ui::{self, Tone, counted, fields::Field, form, notice, text, time},
};

/// Path of the inbox.
pub const PATH: &str = "/approvals";
/// Path that decisions are posted to.
pub const DECIDE: &str = "/approvals/decide";
/// Characters of the id of a form.
const MAX_FORM_ID: usize = 200;
/// Characters of the arguments of a call.
const MAX_ARGUMENTS: usize = 4_000;

/// A page of the inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbox {
    /// Decisions, the oldest first.
    pub items: Vec<Ask>,
    /// Run behind which the next page begins.
    pub next: Option<String>,
    /// Message about the last decision.
    pub done: Option<(Tone, String)>,
    /// The session's word, for the forms of the page.
    pub csrf: String,
    /// Number of the topic `runs` that the page shows.
    pub seq: u64,
}

/// A decision that a run waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Id of the run.
    pub run: String,
    /// Name of its workflow.
    pub workflow: String,
    /// Commit that the run is for.
    pub commit: CommitRef,
    /// Id of the step that waits.
    pub step: String,
    /// Question of the step.
    pub message: Option<String>,
    /// Call of an agent: its id, its tool and its arguments.
    pub call: Option<(String, String, String)>,
    /// People who may answer; empty: everyone with the role.
    pub approvers: Vec<String>,
    /// Approvals that are needed.
    pub quorum: u32,
    /// Fields to fill in.
    pub fields: Vec<Field>,
    /// Time from which it waits, and the time at which waiting ends by itself.
    pub times: (Timestamp, Option<Timestamp>),
    /// Whether the reader may decide; else the reason in words.
    pub may: Result<(), &'static str>,
    /// Reason for which the answer was refused.
    pub refused: Option<String>,
}

/// A commit with its repository, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitRef {
    /// `owner/name` of the repository.
    pub repo: Option<String>,
    /// Branch or tag of the event.
    pub branch: Option<String>,
    /// Hash of the commit.
    pub sha: Option<String>,
}

// === impl Ask ===

impl Ask {
    /// Id of its form, the same for as long as it waits: typed text stays when others are decided.
    fn id(&self) -> String {
        let call = self.call.as_ref().map_or("", |(call, _, _)| call);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let id = format!("ask-{}-{}-{call}", self.run, self.step);
        id.chars().take(MAX_FORM_ID).map(plain).collect()
    }
}

/// The page of the view model.
#[must_use]
pub fn page(model: &Inbox) -> Page {
    let body = html! {
        div.head { h1 { "Approvals" } (ui::help("dashboard")) }
        @if let Some((tone, message)) = &model.done { (notice(*tone, &html! { p { (message) } })) }
        @if model.items.is_empty() { div.card { (nothing()) } }
        @else {
            p.muted { (counted(model.items.len(), "decision")) " waiting, the oldest first." }
            div.asks {
                @for ask in &model.items { (card(ask, &model.csrf, PATH)) }
            }
        }
        @if let Some(next) = &model.next {
            nav.pager aria-label="Pages" {
                a.button rel="next" href={ "/approvals?after=" (next) } { "Later runs →" }
            }
        }
    };
    Page::new("Approvals", body).section(Section::Approvals).follow("runs", model.seq)
}

fn nothing() -> Markup {
    ui::empty(
        "Nothing waits for you",
        "A run stops at a step that asks people, and at tool calls of an agent that need consent. \
         Ask for a decision in a workflow file:",
        &["Step.approval(\"ship\", message=\"Deploy to production?\", approvers=[\"ada\"])"],
    )
}

/// The card of a decision; its form comes back to the path `back`.
#[must_use]
pub fn card(ask: &Ask, csrf: &str, back: &str) -> Markup {
    let id = ask.id();
    html! {
        // With an id of its own, so that a card keeps its form when others come and go.
        section.card.ask id={ (id) "-card" } aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } {
                @match (&ask.message, &ask.call) {
                    (_, Some((_, tool, _))) => { "Let the agent use " (text::code(tool)) "?" }
                    (Some(message), None) => { (text::line(message)) }
                    (None, None) => { "Go on with " (text::name(&ask.step)) "?" }
                }
            }
            (whence(ask))
            @if let Some((_, _, arguments)) = &ask.call {
                pre.log-end tabindex="0" role="region" aria-label="Arguments of the call" {
                    (text::bounded(arguments, MAX_ARGUMENTS))
                }
            }
            @if let Some(reason) = &ask.refused {
                (notice(Tone::Bad, &html! { (text::paragraph(reason)) }))
            }
            @match ask.may {
                Ok(()) => (answer(ask, &id, csrf, back)),
                Err(reason) => { p.muted { (reason) } }
            }
        }
    }
}

fn whence(ask: &Ask) -> Markup {
    let (since, until) = ask.times;
    let CommitRef { repo, branch, sha } = &ask.commit;
    html! {
        p.ask-facts {
            span { a href={ "/runs/" (ask.run) } { (text::name(&ask.workflow)) } " › " (text::name(&ask.step)) }
            @if let Some(repo) = repo { span { (text::name(repo)) } }
            @if let Some(branch) = branch { span.branch { (text::name(branch)) } }
            @if let Some(sha) = sha { span { (text::hash(sha)) } }
            span { "run of " (time::when(since)) }
            @if let Some(until) = until { span.wait { "ends by itself " (time::when(until)) } }
            @if !ask.approvers.is_empty() {
                span { "for " @for (at, name) in ask.approvers.iter().take(20).enumerate() {
                    @if at > 0 { ", " } (text::name(name))
                } }
            }
            @if ask.quorum > 1 { span { (ask.quorum) " people must approve" } }
        }
    }
}

fn answer(ask: &Ask, id: &str, csrf: &str, back: &str) -> Markup {
    html! {
        // Typed text must survive when the page follows a change.
        form.stack.ask-form id=(id) data-keep method="post" action=(DECIDE) {
            (form::hidden("csrf", csrf))
            (form::hidden("back", back))
            (form::hidden("run", &ask.run))
            (form::hidden("step", &ask.step))
            @if let Some((call, _, _)) = &ask.call { (form::hidden("call", call)) }
            (Field::draw(&ask.fields, id))
            div.field {
                label for={ (id) "-comment" } { "Comment" span.optional { "optional" } }
                input id={ (id) "-comment" } name="comment" maxlength="1000" autocomplete="off";
            }
            div.ask-answers {
                button.primary name="answer" value="approve" { "Approve" }
                // A rejection needs none of the fields.
                button.danger name="answer" value="reject" formnovalidate { "Reject" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shell::Shell;

    fn ask(run: &str) -> Ask {
        Ask {
            run: run.to_owned(),
            workflow: "deploy".to_owned(),
            commit: CommitRef {
                repo: Some("acme/app".to_owned()),
                branch: Some("main".to_owned()),
                sha: None,
            },
            step: "ship".to_owned(),
            message: Some("Deploy?".to_owned()),
            call: None,
            approvers: vec!["ada".to_owned()],
            quorum: 2,
            fields: Field::of_schema(&json!({"properties": {"n": {"type": "integer"}}})),
            times: (Timestamp::UNIX_EPOCH, None),
            may: Ok(()),
            refused: None,
        }
    }

    fn drawn(items: Vec<Ask>) -> String {
        let model = Inbox { items, next: None, done: None, csrf: "word".to_owned(), seq: 7 };
        page(&model).render(&Shell::default())
    }

    #[test]
    fn decisions_have_a_form_with_their_fields() {
        let page = drawn(vec![ask("r1"), ask("r2")]);
        for part in [
            "field.n",
            r#"name="csrf" value="word""#,
            r#"value="reject""#,
            "2 people must approve",
            "runs@7",
            "2 decisions",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(page.matches("id=\"ask-r1-ship-\"").count(), 1);
    }

    #[test]
    fn readers_without_the_right_see_no_form() {
        let page = drawn(vec![Ask { may: Err("For maintainers."), ..ask("r1") }]);
        assert!(page.contains("For maintainers.") && !page.contains("<form"), "{page}");
    }

    #[test]
    fn empty_inboxes_teach() {
        assert!(drawn(Vec::new()).contains("Step.approval("));
    }

    #[test]
    fn hostile_questions_stay_text_and_short() {
        let evil = "</p><script>x</script>\u{202e}".repeat(50_000);
        let call = (evil.clone(), evil.clone(), evil.clone());
        let hostile = Ask {
            workflow: evil.clone(),
            message: Some(evil.clone()),
            call: Some(call),
            approvers: vec![evil.clone(); 50],
            refused: Some(evil),
            may: Err("No."),
            ..ask("r1")
        };
        let page = drawn(vec![hostile]);
        assert!(!page.contains("<script>x") && !page.contains('\u{202e}'));
        assert!(page.len() < 60_000, "{}", page.len());
    }
}
