//! Steps that wait for an event outside of the run: its kind and the deadline. Pure; answers come through
//! the driver.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plue_flow::{Awaited, Input};
use plue_plan::{Action, AttemptId, DurationText, Step, Trigger, action::Approval, budget::Meter};
use plue_registry::schedule::{self, Schedule};
use plue_spec::{Expression, Reads, Scope, resolve_text};
use plue_store::topic::TopicEvent;
use serde_json::{Map, Value as Json, json};

/// Characters of an approval's message.
const MAX_MESSAGE: usize = 4_096;

/// The input that starts the wait of an attempt.
///
/// # Errors
/// A text for the author: the step cannot wait for this.
pub(crate) fn begin(
    step: &Step,
    attempt: &AttemptId,
    scope: &Scope<'_>,
    now: Timestamp,
) -> Result<Input, String> {
    let timeout = step.options.timeout.as_ref().map(|text| later(now, text)).transpose()?;
    let (what, until) = match &step.action {
        Action::Approval(approval) => (awaited_decision(approval, scope)?, timeout),
        Action::Wait(wait) => match (&wait.duration, wait.event.as_deref()) {
            (Some(length), _) => (Awaited::Time, Some(later(now, length)?)),
            (None, Some(trigger)) => awaited_trigger(trigger, now, timeout)?,
            (None, None) => return Err("it names neither a duration nor an event".to_owned()),
        },
        Action::Bash(_)
        | Action::Python(_)
        | Action::Llm(_)
        | Action::Negotiate(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Plugin(_) => return Err(format!("`{}` steps do not wait", step.action.kind())),
    };
    Ok(Input::Waits { attempt: attempt.clone(), what, until, name: None })
}

fn awaited_decision(approval: &Approval, scope: &Scope<'_>) -> Result<Awaited, String> {
    let message = approval.message.as_ref().map(|message| {
        let text = resolve_text(message, scope, &mut Reads::default());
        text.map(|text| text.chars().take(MAX_MESSAGE).collect())
            .map_err(|error| format!("message: {error}"))
    });
    Ok(Awaited::Decision {
        message: message.transpose()?,
        approvers: approval.approvers.clone(),
        quorum: approval.quorum,
    })
}

fn awaited_trigger(
    trigger: &Trigger,
    now: Timestamp,
    timeout: Option<Timestamp>,
) -> Result<(Awaited, Option<Timestamp>), String> {
    match trigger {
        Trigger::Event { topic, when } => {
            Ok((Awaited::Event { topic: topic.clone(), when: when.clone() }, timeout))
        }
        Trigger::Webhook { name } => {
            Ok((Awaited::Event { topic: webhook_topic(name), when: None }, timeout))
        }
        Trigger::Workflow { name, outcome } => {
            Ok((Awaited::Workflow { name: name.clone(), outcome: outcome.clone() }, timeout))
        }
        Trigger::Schedule { cron, tz, misfire } => {
            let schedule = Schedule { cron, tz, misfire: *misfire };
            let next = schedule::next(&schedule, now).map_err(|error| error.to_string())?;
            let next = next.ok_or_else(|| format!("`{cron}` is never due"))?;
            Ok((Awaited::Time, Some(next)))
        }
        Trigger::Push { .. }
        | Trigger::PullRequest { .. }
        | Trigger::Issue { .. }
        | Trigger::IssueComment { .. }
        | Trigger::Manual { .. } => Err("a step can wait for an event on a topic, a webhook, a \
                                         schedule, the end of a workflow or a duration; pushes, \
                                         pull requests, issues and comments start runs"
            .to_owned()),
    }
}

/// The topic of calls to a webhook endpoint.
pub(crate) fn webhook_topic(name: &str) -> String {
    format!("webhook:{name}")
}

/// Whether a message satisfies the condition of a wait.
///
/// # Errors
/// A text for the author: `when` cannot be evaluated for it.
pub(crate) fn matches(
    message: &TopicEvent,
    when: Option<&str>,
    meter: &Meter,
) -> Result<bool, String> {
    let Some(when) = when else { return Ok(true) };
    let expression = Expression::parse(when).map_err(|error| format!("when: {error}"))?;
    let event = event(message);
    let scope = Scope::new().event(&event).metered(meter);
    expression.truth(&scope, &mut Reads::default()).map_err(|error| format!("when: {error}"))
}

/// A message as `event` of expressions: topic and fields are in `event.payload`.
fn event(message: &TopicEvent) -> Json {
    let mut payload = match &message.data {
        Json::Object(fields) => fields.clone(),
        other => Map::from_iter([("data".to_owned(), other.clone())]),
    };
    payload.insert("topic".to_owned(), json!(message.topic));
    json!({"type": "event", "actor": message.by, "payload": payload})
}

/// The output of a step that took a message.
pub(crate) fn output(message: TopicEvent) -> Json {
    json!({
        "topic": message.topic,
        "data": message.data,
        "by": message.by,
        "at": message.at.to_string(),
    })
}

fn later(now: Timestamp, text: &DurationText) -> Result<Timestamp, String> {
    let length: Duration = text.parse().map_err(|error| error.to_string())?;
    let length = SignedDuration::try_from(length).map_err(|error| error.to_string())?;
    now.checked_add(length).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use plue_plan::{Value, action::Wait, budget::Budget};

    use super::*;

    fn now() -> Timestamp {
        "2026-03-29T00:30:00Z".parse().unwrap()
    }

    fn wait_for(event: Option<Trigger>, duration: Option<&str>) -> Step {
        let event = event.map(Box::new);
        let wait = Wait { event, duration: duration.map(DurationText::new) };
        Step::new("w", Action::Wait(wait))
    }

    fn started(step: &Step) -> Result<(Awaited, Option<String>), String> {
        match begin(step, &AttemptId::new("r:w:1:1"), &Scope::new(), now())? {
            Input::Waits { what, until, .. } => Ok((what, until.map(|at| at.to_string()))),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_duration_ends_at_its_second() {
        let until = Some("2026-03-29T02:00:00Z".to_owned());
        assert_eq!(started(&wait_for(None, Some("1h30m"))), Ok((Awaited::Time, until)));
    }

    /// Berlin goes from 2:00 to 3:00 that night: 2:30 does not exist.
    #[test]
    fn schedule_waits_end_across_clock_changes() {
        let schedule = Trigger::Schedule {
            cron: "30 2 * * *".to_owned(),
            tz: "Europe/Berlin".to_owned(),
            misfire: Default::default(),
        };
        let until = Some("2026-03-29T01:00:00Z".to_owned());
        assert_eq!(started(&wait_for(Some(schedule), None)), Ok((Awaited::Time, until)));
    }

    #[test]
    fn push_waits_are_refused_with_alternatives() {
        let push = Trigger::Push {
            branches: Vec::new(),
            tags: Vec::new(),
            paths: Vec::new(),
            paths_ignore: Vec::new(),
        };
        let refused = started(&wait_for(Some(push), None)).unwrap_err();
        assert!(refused.contains("topic"), "{refused}");
    }

    #[test]
    fn approval_messages_are_rendered_timeouts_start_now() {
        let mut step = Step::new(
            "ask",
            Action::Approval(Approval {
                message: Some(Value::template("deploy ${inputs.v}?")),
                approvers: vec!["ann".to_owned()],
                quorum: 1,
                on_timeout: Default::default(),
                fields: None,
            }),
        );
        step.options.timeout = Some(DurationText::new("10m"));
        let inputs = json!({"v": "$(rm -rf ~)"});
        let scope = Scope::new().inputs(&inputs);
        let input = begin(&step, &AttemptId::new("a"), &scope, now()).unwrap();
        let Input::Waits { what: Awaited::Decision { message, .. }, until, .. } = input else {
            panic!("{input:?}");
        };
        assert_eq!(message.unwrap(), "deploy $(rm -rf ~)?");
        assert_eq!(until.unwrap().to_string(), "2026-03-29T00:40:00Z");
    }

    #[test]
    fn a_message_fits_by_its_content() {
        let message = TopicEvent {
            id: 7,
            topic: "built".to_owned(),
            data: json!({"version": 3}),
            by: "ann".to_owned(),
            at: now(),
        };
        let meter = Meter::new(Budget::of_steps(1_000));
        let matches = |when| matches(&message, when, &meter);
        assert_eq!(matches(None), Ok(true));
        assert_eq!(matches(Some("event.payload.version > 2")), Ok(true));
        assert_eq!(matches(Some("event.payload.topic == 'other'")), Ok(false));
        assert!(matches(Some("event.payload.version > 'x'")).unwrap_err().contains("when"));
    }
}
