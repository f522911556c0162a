//! Approvals, timers, events, callbacks, child runs and the plan's outputs, under a simulated clock.

use jiff::SignedDuration;
use plue_flow::{
    Awaited, Child, Effect, Fact, Input, Rejected, RunStatus, StepStatus, fact::Outcome,
};
use plue_plan::{RunId, RunnerId};
use serde_json::{Value as Json, json};

use crate::player::{Player, asked, call, cancel, decision, hash, id};

fn approval(more: Json) -> Json {
    let mut step = json!({"id": "ask", "kind": "approval"});
    for (key, value) in more.as_object().unwrap() {
        step[key] = value.clone();
    }
    json!([step, {"id": "ship", "depends_on": ["ask"]}])
}

fn waiting_for(quorum: u32, more: Json) -> Player {
    let mut player = Player::start(approval(more), json!({}));
    player.waits("ask", asked(quorum), None);
    player
}

#[test]
fn row_0_04_approvals_wait_until_an_answer() {
    let mut player = waiting_for(1, json!({}));
    assert_eq!(player.run.status(), RunStatus::Waiting);
    assert_eq!(player.statuses(), "ask=waiting ship=pending");
    let why = player.reason("ask").unwrap().to_string();
    assert_eq!(why, "waits for a decision");
    player.decide("ask", "ann", true);
    assert_eq!(player.step("ask").output, json!({"by": ["ann"], "comment": ""}));
    player.pass(&["ship"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

/// Approvals needed, the answers, the step.
type Row = (u32, &'static [(&'static str, bool)], StepStatus);

#[test]
fn quorums_count_distinct_people_one_rejection_suffices() {
    let table: [Row; 6] = [
        (1, &[("ann", true)], StepStatus::Success),
        (2, &[("ann", true)], StepStatus::Waiting),
        (2, &[("ann", true), ("bob", true)], StepStatus::Success),
        (2, &[("ann", true), ("bob", false)], StepStatus::Failed),
        (2, &[("ann", false)], StepStatus::Failed),
        (3, &[("ann", true), ("bob", true)], StepStatus::Waiting),
    ];
    for (quorum, answers, status) in table {
        let mut player = waiting_for(quorum, json!({}));
        for (by, approve) in answers {
            player.decide("ask", by, *approve);
        }
        assert_eq!(player.status("ask"), status, "{quorum} {answers:?}");
    }
}

#[test]
fn unauthorised_and_repeated_answers_are_refused() {
    let mut player = Player::start(approval(json!({})), json!({}));
    let approvers = vec!["ann".to_owned(), "bob".to_owned()];
    player.waits("ask", Awaited::Decision { message: None, approvers, quorum: 2 }, None);
    let attempt = player.attempt("ask");
    let decide =
        |by: &str| Input::Decide { attempt: attempt.clone(), decision: decision(by, true) };
    let refused = player.try_feed(decide("eve")).unwrap_err();
    assert_eq!(refused.to_string(), "only ann, bob may answer it");
    player.feed(decide("ann"));
    let again = player.try_feed(decide("ann")).unwrap_err();
    assert_eq!(again, Rejected::AnsweredAlready { by: "ann".to_owned() });
    let why = player.reason("ask").unwrap().to_string();
    assert_eq!(why, "waits for a decision by ann or bob (1 of 2 approvals, by ann)");
    player.feed(decide("bob"));
    assert!(matches!(player.try_feed(decide("bob")), Err(Rejected::Stale { .. })));
}

#[test]
fn rejections_name_person_and_reason_without_retry() {
    let retry = json!({"retry": {"delay": "0s"}});
    let mut player = waiting_for(1, retry);
    let mut no = decision("ann", false);
    no.comment = Some("not on a Friday".to_owned());
    let attempt = player.attempt("ask");
    player.feed(Input::Decide { attempt, decision: no });
    let why = player.reason("ask").unwrap().to_string();
    assert_eq!(why, "rejected by ann: not on a Friday");
    assert_eq!(player.statuses(), "ask=failed ship=skipped");
    assert_eq!(player.step("ask").attempts, 1);
}

#[test]
fn what_was_filled_in_is_the_output() {
    let mut player = waiting_for(2, json!({}));
    for (by, fields) in [("ann", json!({"env": "dev", "n": 1})), ("bob", json!({"env": "prod"}))] {
        let mut yes = decision(by, true);
        yes.fields = fields.as_object().unwrap().clone();
        let attempt = player.attempt("ask");
        player.feed(Input::Decide { attempt, decision: yes });
    }
    assert_eq!(player.step("ask").output, json!({"env": "prod", "n": 1}));
}

#[test]
fn unanswered_approvals_follow_on_timeout() {
    for (rule, status) in [("reject", StepStatus::Failed), ("approve", StepStatus::Success)] {
        let steps = approval(json!({"on_timeout": rule, "timeout": "90m"}));
        let mut player = Player::start(steps, json!({}));
        player.waits("ask", asked(1), Some("90m"));
        let due = player.run.next_deadline().unwrap();
        assert_eq!(due, player.now + SignedDuration::from_mins(90));
        player.wait("89m 59s");
        assert_eq!(player.status("ask"), StepStatus::Waiting);
        player.wait("1s");
        assert_eq!(player.status("ask"), status, "{rule}");
    }
}

#[test]
fn a_rejection_can_lead_back() {
    let steps = json!([
        {"id": "work"},
        {"id": "ask", "kind": "approval", "depends_on": ["work"],
         "on_failure": {"goto": "work", "max_visits": 2}},
    ]);
    let mut player = Player::start(steps, json!({}));
    for visit in 1..=2 {
        player.pass(&["work"]);
        player.waits("ask", asked(1), None);
        assert_eq!(player.step("ask").visit, visit);
        player.decide("ask", "ann", false);
    }
    assert!(player.reason("ask").unwrap().to_string().starts_with("loop_exhausted"));
}

#[test]
fn timed_waits_are_exact_and_take_no_slot() {
    let steps = json!([{"id": "nap"}, {"id": "beside"}]);
    let mut player = Player::start(steps, json!({"max_parallel": 1}));
    player.waits("nap", Awaited::Time, Some("10m"));
    player.pass(&["beside"]);
    assert_eq!(player.run.status(), RunStatus::Waiting);
    player.wait("9m 59s 999ms");
    assert_eq!(player.status("nap"), StepStatus::Waiting);
    player.wait("1ms");
    assert_eq!(player.run.status(), RunStatus::Success);
    let nap = player.step("nap");
    let slept = nap.ended_at.unwrap().duration_since(nap.started_at.unwrap());
    assert_eq!(slept, SignedDuration::from_mins(10));
}

#[test]
fn the_default_timeout_excludes_waiting() {
    let mut player = waiting_for(1, json!({}));
    player.wait("100h");
    player.decide("ask", "ann", true);
    assert_eq!(player.status("ship"), StepStatus::Queued);
    player.begin("ship");
    player.wait("59m");
    assert_eq!(player.run.status(), RunStatus::Running);
    player.wait("1m");
    assert_eq!(player.run.result_so_far(), RunStatus::TimedOut);
}

#[test]
fn an_explicit_timeout_includes_waiting() {
    let mut player = Player::start(approval(json!({})), json!({"timeout": "1h"}));
    player.waits("ask", asked(1), None);
    player.wait("1h");
    assert_eq!(player.run.status(), RunStatus::TimedOut);
    assert_eq!(player.statuses(), "ask=skipped ship=skipped");
}

#[test]
fn each_event_is_taken_once() {
    let steps = json!([
        {"id": "listen", "on_success": {"goto": "listen", "max_visits": 2}},
    ]);
    let mut player = Player::start(steps, json!({}));
    let topic = Awaited::Event { topic: "t".to_owned(), when: None };
    player.waits("listen", topic.clone(), None);
    let answer = |player: &Player, event| Input::Answer {
        attempt: player.attempt("listen"),
        event: Some(event),
        outcome: Outcome::Success,
        output: json!(event),
    };
    player.feed(answer(&player, 7));
    player.waits("listen", topic, None);
    assert_eq!(player.run.waiting().next().unwrap().taken, 7);
    assert!(player.try_feed(answer(&player, 7)).is_err());
    player.feed(answer(&player, 8));
    assert_eq!(player.step("listen").output, json!(8));
}

#[test]
fn stopped_plans_end_idle_waits() {
    let steps = json!([{"id": "bad"}, {"id": "ask"}, {"id": "call"}]);
    let mut player = Player::start(steps, json!({}));
    player.waits("ask", asked(1), None);
    player.begin("call");
    player.waits("call", Awaited::Callback, None);
    player.fail("bad");
    assert_eq!(player.statuses(), "bad=failed ask=skipped call=waiting");
    let attempt = player.attempt("call");
    let (outcome, output) = (Outcome::Success, json!("done"));
    player.feed(Input::Answer { attempt, event: None, outcome, output });
    assert_eq!(player.status("call"), StepStatus::Success);
    assert_eq!(player.run.status(), RunStatus::Failed);
}

#[test]
fn a_cancel_ends_waiting_at_once() {
    let mut player = waiting_for(1, json!({}));
    player.cancel();
    assert_eq!(player.run.status(), RunStatus::Cancelled);
    assert_eq!(player.statuses(), "ask=cancelled ship=cancelled");
}

#[test]
fn stopped_calls_do_not_start_waiting() {
    let mut player = Player::start(json!([{"id": "call"}]), json!({}));
    player.begin("call");
    player.cancel();
    player.waits("call", Awaited::Callback, None);
    assert_eq!(player.run.status(), RunStatus::Cancelled);
}

#[test]
fn row_3_17_child_runs_are_journaled_before_creation() {
    let mut player = Player::start(json!([{"id": "sub"}]), json!({}));
    player.begin("sub");
    let attempt = player.attempt("sub");
    let child = Child {
        run: RunId::new("child"),
        plan: hash(),
        source: "a.plue.py".to_owned(),
        inputs: json!({"n": 1}),
    };
    let transition = player.feed(Input::Child { attempt: attempt.clone(), child: child.clone() });
    assert!(matches!(transition.effects.as_slice(), [Effect::Perform { .. }]));
    assert_eq!(player.run.child(&attempt), Some(&child));
    assert_eq!(player.reason("sub").unwrap().to_string(), "child run child");
    let twice = Input::Child { attempt: attempt.clone(), child };
    assert!(player.try_feed(twice).is_err());
    let kept = player.journal.iter().any(|(_, fact)| matches!(fact, Fact::ChildStarted { .. }));
    assert!(kept);
}

#[test]
fn plan_outputs_are_computed_before_final_hooks() {
    let hooks = json!({"on_success": [{"id": "good"}], "on_failure": [{"id": "bad"}]});
    for (value, called) in [(Ok(json!({"v": 1})), "good"), (Err("no v".to_owned()), "bad")] {
        let more = json!({"outputs": {"v": 1}, "hooks": hooks});
        let mut player = Player::start(json!([{"id": "a"}]), more);
        player.pass(&["a"]);
        assert_eq!(player.run.pending_effects(), [Effect::EvaluateOutputs]);
        player.feed(Input::Outputs { value: value.clone() });
        assert_eq!(player.working(), [called]);
        player.pass(&[called]);
        assert_eq!(player.run.outputs(), value.as_ref().ok());
        assert_eq!(player.run.status() == RunStatus::Success, value.is_ok());
        if value.is_err() {
            assert_eq!(player.run.view().reason.as_deref(), Some("no v"));
        }
    }
}

#[test]
fn a_failed_run_has_no_outputs() {
    let mut player = Player::start(json!([{"id": "a"}]), json!({"outputs": {"v": 1}}));
    player.fail("a");
    assert_eq!(player.run.status(), RunStatus::Failed);
    assert_eq!(player.run.outputs(), None);
}

#[test]
fn a_waiting_attempt_cannot_be_lost_or_assigned() {
    let mut player = waiting_for(1, json!({}));
    let attempt = player.attempt("ask");
    let lost = Input::Lost { attempt: attempt.clone(), reason: "gone".to_owned() };
    assert!(player.try_feed(lost).is_err());
    let runner = RunnerId::new("r");
    assert!(player.try_feed(Input::Assigned { attempt, runner }).is_err());
    assert_eq!(player.run.waiting().next().unwrap().step, id("ask"));
}

fn asks(player: &mut Player, step: &str, calls: &[&str], is_busy: bool) {
    let calls = calls.iter().copied().map(call).collect();
    let attempt = player.attempt(step);
    player.feed(Input::AsksCalls { attempt, calls, is_busy });
}

#[test]
fn agent_calls_await_people_while_the_process_stays() {
    let mut player =
        Player::start(json!([{"id": "ask"}, {"id": "next", "depends_on": ["ask"]}]), json!({}));
    player.begin("ask");
    asks(&mut player, "ask", &["a", "b"], true);
    assert_eq!(player.run.status(), RunStatus::Running, "another call is under way");
    assert!(!player.run.needs_an_answer());
    asks(&mut player, "ask", &["a", "b"], false);
    assert_eq!(player.run.status(), RunStatus::Waiting);
    assert!(player.run.needs_an_answer());
    assert_eq!(player.statuses(), "ask=waiting next=pending");
    assert_eq!(player.reason("ask").unwrap().to_string(), "waits for approval of bash (call a)");
    let waiting: Vec<String> = player.run.waiting().map(|one| one.what.to_string()).collect();
    let words =
        |call: &str| format!("waits for approval of bash {{\"command\":\"ls\"}} (call {call})");
    assert_eq!(waiting, [words("a"), words("b")]);
    player.wait("100h");
    assert_eq!(player.status("ask"), StepStatus::Waiting, "the default timeout stands still");
    asks(&mut player, "ask", &[], false);
    assert_eq!(player.statuses(), "ask=running next=pending");
    player.end("ask", Outcome::Success);
    player.pass(&["next"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn waiting_agents_are_stopped_like_working_ones() {
    let mut player = Player::start(json!([{"id": "ask"}]), json!({}));
    player.begin("ask");
    asks(&mut player, "ask", &["a"], false);
    let stopped = player.feed(cancel(false));
    assert!(matches!(stopped.effects[..], [Effect::Stop { kill: false, .. }]), "{stopped:?}");
    assert_eq!(player.run.status(), RunStatus::Running);
    assert_eq!(player.run.waiting().count(), 0);
    let attempt = player.attempt("ask");
    let again = Input::AsksCalls { attempt, calls: vec![call("b")], is_busy: false };
    assert!(matches!(player.try_feed(again), Err(Rejected::Stale { .. })));
    let killed = player.feed(cancel(true));
    assert!(matches!(killed.effects[..], [Effect::Stop { kill: true, .. }]), "{killed:?}");
    player.end("ask", Outcome::Cancelled);
    assert_eq!(player.run.status(), RunStatus::Cancelled);
}

#[test]
fn only_running_attempts_ask_and_only_for_news() {
    let mut player = Player::start(json!([{"id": "ask"}]), json!({}));
    let attempt = player.attempt("ask");
    let input = |calls| Input::AsksCalls { attempt: attempt.clone(), calls, is_busy: false };
    assert!(player.try_feed(input(vec![call("a")])).is_err(), "it does not run yet");
    player.begin("ask");
    assert!(player.try_feed(input(Vec::new())).is_err(), "there is nothing to take back");
    let is_news = |fact: &Fact| matches!(fact, Fact::CallsAsked { is_news: true, .. });
    assert!(is_news(&player.feed(input(vec![call("a"), call("b")])).facts[0]));
    assert!(player.try_feed(input(vec![call("a"), call("b")])).is_err());
    assert!(!is_news(&player.feed(input(vec![call("b")])).facts[0]));
    player.lose("ask");
    assert_eq!(player.run.waiting().count(), 0);
}
