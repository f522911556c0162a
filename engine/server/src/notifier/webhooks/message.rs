//! The content of a message: names, links and states, made of a fact and of the unchanging data of its
//! run, so
//! that it is the same bytes at each try.
//!
//! Pure. Must not reveal output of a step or text of a user: outputs, inputs, reasons, texts of
//! approvals, remarks. The API has them, for callers with a token.

use jiff::Timestamp;
use plue_api::records::webhook::{
    WebhookData, WebhookDecision, WebhookMessage, WebhookRequest, WebhookRun, WebhookStep,
};
use plue_flow::{Awaited, Fact};
use plue_plan::StepId;
use plue_store::{
    JournalRow, RunRow,
    webhook::{PING, event_of},
};

/// The message of a fact; none: facts of its kind have no message. `public` is the address of this
/// server.
#[must_use]
pub fn of_fact(run: &RunRow, row: &JournalRow, public: Option<&str>) -> Option<WebhookMessage> {
    let kind = event_of(&row.fact)?;
    let about = about(run, public);
    let api = about.api_url.clone();
    let mut data = WebhookData { run: Some(about), ..WebhookData::default() };
    match &row.fact {
        Fact::RunEnded { status, .. } => data.status = Some(status.as_str().to_owned()),
        Fact::StepEnded { step, visit, status, .. } => {
            data.step = Some(WebhookStep { id: step.to_string(), visit: Some(*visit) });
            data.status = Some(status.as_str().to_owned());
        }
        Fact::AttemptWaiting { step, what, until, .. } => {
            let Awaited::Decision { approvers, quorum, .. } = what else { return None };
            data.step = Some(named(step));
            data.request = Some(WebhookRequest {
                approvers: approvers.clone(),
                quorum: *quorum,
                until: *until,
                api_url: format!("{api}/steps/{step}/decision"),
            });
        }
        Fact::CallsAsked { step, calls, .. } => {
            data.step = Some(named(step));
            data.request = Some(WebhookRequest {
                approvers: Vec::new(),
                quorum: 1,
                until: calls.iter().filter_map(|call| call.until).min(),
                api_url: format!("{api}/steps/{step}/decision"),
            });
        }
        Fact::DecisionMade { step, decision, .. } => {
            data.step = Some(named(step));
            let by = decision.by.clone();
            data.decision = Some(WebhookDecision { by, approve: decision.approve });
        }
        Fact::RunCreated { .. }
        | Fact::RunStarted
        | Fact::RunReopened { .. }
        | Fact::ConditionEvaluated { .. }
        | Fact::AttemptQueued { .. }
        | Fact::AttemptUnschedulable { .. }
        | Fact::AttemptSchedulable { .. }
        | Fact::AttemptAssigned { .. }
        | Fact::AttemptStarted { .. }
        | Fact::ChildStarted { .. }
        | Fact::OutputsEvaluated { .. }
        | Fact::AttemptEnded { .. }
        | Fact::AttemptRequeued { .. }
        | Fact::RetryScheduled { .. }
        | Fact::LoopedBack { .. }
        | Fact::CancelRequested { .. }
        | Fact::RunTimedOut => {}
    }
    Some(WebhookMessage { kind: kind.to_owned(), timestamp: row.at, data })
}

/// The message of a test.
#[must_use]
pub fn ping(webhook: &str, at: Timestamp) -> WebhookMessage {
    let data = WebhookData { webhook: Some(webhook.to_owned()), ..WebhookData::default() };
    WebhookMessage { kind: PING.to_owned(), timestamp: at, data }
}

fn about(run: &RunRow, public: Option<&str>) -> WebhookRun {
    let public = public.map(|public| public.trim_end_matches('/'));
    WebhookRun {
        id: run.id.to_string(),
        workflow: run.workflow.clone(),
        repository: run.repo.clone(),
        sha: run.sha.clone(),
        branch: run.branch.clone(),
        url: public.map(|public| format!("{public}/runs/{}", run.id)),
        api_url: format!("{}/api/v1/runs/{}", public.unwrap_or_default(), run.id),
    }
}

fn named(step: &StepId) -> WebhookStep {
    WebhookStep { id: step.to_string(), visit: None }
}

#[cfg(test)]
mod tests {
    use plue_flow::{Decision, RunStatus, RunView, StepStatus, fact::Reason};
    use plue_plan::{AttemptId, PlanHash, RunId};
    use serde_json::{Value as Json, json};

    use super::*;

    fn content_of(fact: Fact, public: Option<&str>) -> Option<Json> {
        let at = Timestamp::from_second(60).unwrap();
        let run = RunRow {
            id: RunId::new("r1"),
            workflow: "CI".to_owned(),
            plan: format!("sha256:{}", "0".repeat(64)).parse::<PlanHash>().unwrap(),
            repo: Some("acme/app".to_owned()),
            sha: Some("c0ffee".to_owned()),
            branch: Some("main".to_owned()),
            fork: None,
            view: RunView {
                status: RunStatus::Running,
                reason: Some("canary".to_owned()),
                started_at: None,
                ended_at: None,
            },
            seq: 9,
            created_at: at,
            in_hand: false,
            deaths: 0,
        };
        let message = of_fact(&run, &JournalRow { seq: 3, at, fact }, public)?;
        Some(serde_json::to_value(message).unwrap())
    }

    #[test]
    fn messages_are_thin_and_link_to_details() {
        let ended = Fact::RunEnded { status: RunStatus::Failed, reason: Some("canary".to_owned()) };
        let message = content_of(ended, Some("https://ci.example/")).unwrap();
        let expected = json!({
            "type": "run.ended",
            "timestamp": "1970-01-01T00:01:00Z",
            "data": {
                "run": {
                    "id": "r1", "workflow": "CI", "repository": "acme/app", "sha": "c0ffee",
                    "branch": "main", "url": "https://ci.example/runs/r1",
                    "api_url": "https://ci.example/api/v1/runs/r1",
                },
                "status": "failed",
            },
        });
        assert_eq!(message, expected);
        assert_eq!(content_of(Fact::RunStarted, None).unwrap()["data"]["run"]["url"], Json::Null);
    }

    #[test]
    fn messages_omit_user_texts_and_step_output() {
        let (step, attempt, canary) = (StepId::new("s"), AttemptId::new("a"), "canary".to_owned());
        let facts = [
            Fact::StepEnded {
                step: step.clone(),
                visit: 2,
                status: StepStatus::Failed,
                reason: Some(Reason::Attempt { message: canary.clone(), attempts: 1 }),
            },
            Fact::AttemptWaiting {
                step: step.clone(),
                attempt: attempt.clone(),
                what: Awaited::Decision {
                    message: Some(canary.clone()),
                    approvers: vec!["ada".to_owned()],
                    quorum: 1,
                },
                until: None,
                name: Some(Ok(canary.clone())),
            },
            Fact::DecisionMade {
                step: step.clone(),
                attempt: attempt.clone(),
                decision: Decision {
                    by: "ada".to_owned(),
                    approve: true,
                    fields: [("n".to_owned(), json!("canary"))].into_iter().collect(),
                    comment: Some(canary.clone()),
                },
            },
            Fact::RunReopened { by: canary, steps: vec![step.clone()] },
        ];
        for fact in facts {
            let text = content_of(fact, None).unwrap().to_string();
            assert!(!text.contains("canary"), "{text}");
        }
        let output = json!("canary");
        let outcome = plue_flow::fact::Outcome::Success;
        assert_eq!(
            content_of(Fact::AttemptEnded { step, attempt, outcome, output, event: None }, None),
            None
        );
    }

    #[test]
    fn decision_requests_name_approvers_and_address() {
        let what =
            Awaited::Decision { message: None, approvers: vec!["ada".to_owned()], quorum: 2 };
        let (step, attempt) = (StepId::new("ship"), AttemptId::new("a"));
        let waits = Fact::AttemptWaiting { step, attempt, what, until: None, name: None };
        let asked = content_of(waits, None).unwrap();
        assert_eq!(asked["type"], "approval.requested");
        let request = &asked["data"]["request"];
        assert_eq!((&request["approvers"], &request["quorum"]), (&json!(["ada"]), &json!(2)));
        assert_eq!(request["api_url"], "/api/v1/runs/r1/steps/ship/decision");
    }
}
