//! Order, outputs, failures, retries: the semantics of a plan.

use plue_flow::{Fact, RunStatus, StepStatus, fact::Outcome, input::Reopen};
use plue_plan::{
    Action, DurationText, Event, Plan, Value,
    action::{Llm, Prompt},
    event::EventType,
    policy::Retry,
};
use serde_json::json;

use super::world::{World, after, bash};

#[tokio::test]
async fn row_1_29_steps_run_in_topological_order_with_logs() {
    let world = World::new().await;
    let steps = vec![
        after("join", "cat a b > c; cat c", &["a", "b"]),
        bash("a", "echo from-a | tee a"),
        bash("b", "echo from-b | tee b"),
    ];
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Success);
    assert_eq!(world.log(&run, "join").await, "from-a\nfrom-b\n");
    assert_eq!(world.log(&run, "a").await, "from-a\n");
    world.check_rows(&run).await;
}

/// Each of the two waits for the file of the other, so they end only if they run at the same time.
#[tokio::test]
async fn row_1_30_independent_steps_run_at_the_same_time() {
    let world = World::new().await;
    let meet = |mine: &str, other: &str| {
        format!("touch {mine}; until test -e {other}; do sleep 0.01; done")
    };
    let steps = vec![bash("a", &meet("a", "b")), bash("b", &meet("b", "a"))];
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Success);
    world.check_rows(&run).await;
}

#[tokio::test]
async fn row_1_35_a_failed_step_blocks_what_depends_on_it() {
    let world = World::new().await;
    let steps =
        vec![bash("bad", "echo broken >&2; exit 3"), after("blocked", "echo never", &["bad"])];
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Failed);
    assert_eq!(world.step(&run, "bad").await, StepStatus::Failed);
    assert_eq!(world.step(&run, "blocked").await, StepStatus::Skipped);
    assert_eq!(world.log(&run, "bad").await, "broken\n");
    world.check_rows(&run).await;
}

#[tokio::test]
async fn row_1_32_an_output_reaches_the_next_step_as_data() {
    let world = World::new().await;
    let hostile = "$(touch pwned); `touch pwned` && x";
    let mut read = after("read", r#"printf %s "$GOT""#, &["write"]);
    read.options.env.insert("GOT".to_owned(), Value::expr("steps.write.output.text"));
    let write = format!(r#"printf 'text=%s\n' '{hostile}' >> "$PLUE_OUTPUT""#);
    let (run, status) = world.run(vec![bash("write", &write), read]).await;
    assert_eq!(status, RunStatus::Success);
    assert_eq!(world.log(&run, "read").await, hostile);
    assert!(!world.work().join("pwned").exists());
}

#[tokio::test]
async fn conditions_read_values_of_earlier_steps() {
    let world = World::new().await;
    let mut no = after("no", "echo no", &["count"]);
    no.options.when = Some("steps.count.output.n > 3".to_owned());
    let mut yes = after("yes", "echo yes", &["count"]);
    yes.options.when = Some("steps.count.output.n == 2".to_owned());
    let count = bash("count", r#"echo '{"n": 2}' > "$PLUE_OUTPUT""#);
    let (run, status) = world.run(vec![count, no, yes]).await;
    assert_eq!(status, RunStatus::Success);
    assert_eq!(world.step(&run, "no").await, StepStatus::Skipped);
    assert_eq!(world.log(&run, "yes").await, "yes\n");
}

#[tokio::test]
async fn retried_attempts_have_their_own_logs() {
    let world = World::new().await;
    let mut flaky = bash("flaky", r#"echo "try $PLUE_ATTEMPT"; test "$PLUE_ATTEMPT" = 3"#);
    let delay = DurationText::new("1ms");
    flaky.options.retry = Some(Retry { max_attempts: 3, delay, ..Retry::default() });
    let (run, status) = world.run(vec![flaky]).await;
    assert_eq!(status, RunStatus::Success);
    let attempts = world.store.attempts().list(&run, None).await.unwrap();
    assert_eq!(attempts.len(), 3);
    assert_eq!(world.log(&run, "flaky").await, "try 3\n");
    world.check_rows(&run).await;
}

#[tokio::test]
async fn a_slow_step_is_stopped_at_its_timeout() {
    let world = World::new().await;
    let mut slow = bash("slow", "echo begun; exec sleep 600");
    slow.options.timeout = Some(DurationText::new("3s"));
    let (run, status) = world.run(vec![slow]).await;
    assert_eq!(status, RunStatus::Failed);
    assert_eq!(world.step(&run, "slow").await, StepStatus::TimedOut);
    assert_eq!(world.log(&run, "slow").await, "begun\n");
}

#[tokio::test]
async fn unconfigured_llm_steps_fail_with_advice() {
    let world = World::new().await;
    let llm = Llm {
        prompt: Prompt::Text(Value::text("Review the code changes")),
        model: None,
        system: None,
        fallback_models: Vec::new(),
        mcp: Vec::new(),
        tools: None,
        approve: Vec::new(),
        approve_timeout: None,
        max_turns: None,
        max_tokens: None,
        budget: None,
        output: None,
        role: None,
        effort: None,
    };
    let mut review = after("review", "", &["test"]);
    review.action = Action::Llm(Box::new(llm));
    let steps = vec![bash("test", "echo ok"), after("build", "echo built", &["test"]), review];
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Failed);
    assert_eq!(world.step(&run, "build").await, StepStatus::Success);
    let facts = world.facts(&run).await;
    let reported = facts.iter().any(|fact| {
        matches!(fact, Fact::AttemptEnded { outcome: Outcome::Refused { message }, .. }
            if message.contains("ANTHROPIC_API_KEY"))
    });
    assert!(reported, "{facts:?}");
}

#[tokio::test]
async fn secrets_reach_named_steps_and_no_log() {
    let mut world = World::new().await;
    world.secrets.0.insert("TOKEN".to_owned(), b"s3cr3t-value".to_vec());
    let mut with = bash("with", r#"echo "token $TOKEN has ${#TOKEN} bytes""#);
    with.options.secrets.push("TOKEN".to_owned());
    let without = bash("without", r#"echo "token ${TOKEN-none}""#);
    let (run, status) = world.run(vec![with, without]).await;
    assert_eq!(status, RunStatus::Success);
    assert_eq!(world.log(&run, "with").await, "token *** has 12 bytes\n");
    assert_eq!(world.log(&run, "without").await, "token none\n");
}

#[tokio::test]
async fn untrusted_runs_never_receive_secrets() {
    let mut world = World::new().await;
    world.secrets.0.insert("TOKEN".to_owned(), b"s3cr3t-value".to_vec());
    let mut step = bash("leak", r#"echo "token ${TOKEN-none}" | rev"#);
    step.options.secrets.push("TOKEN".to_owned());
    // Its origin is not known: it is untrusted.
    let event = Event::new(EventType::PullRequest);
    let run = world.submit_for(Plan::new("test", vec![step]), event).await;
    assert_eq!(world.drive(&run).await, RunStatus::Failed);
    let why = world.why(&run, "leak").await;
    assert!(why.contains("TOKEN"), "{why}");
    assert_eq!(world.retry(&run, Reopen::Failed).await.unwrap(), RunStatus::Failed);
    assert_eq!(
        world.store.attempts().list(&run, None).await.unwrap(),
        [],
        "no runner was given it"
    );
}

#[tokio::test]
async fn a_hundred_parallel_steps_each_end_once() {
    let world = World::new().await;
    let mut steps: Vec<_> =
        (0..100).map(|n| bash(&format!("s{n}"), &format!("echo {n}"))).collect();
    let names: Vec<String> = steps.iter().map(|step| step.id.to_string()).collect();
    let needs: Vec<&str> = names.iter().map(String::as_str).collect();
    steps.push(after("join", "echo all", &needs));
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Success);
    assert_eq!(world.store.attempts().list(&run, None).await.unwrap().len(), 101);
    assert_eq!(world.log(&run, "s73").await, "73\n");
    world.check_rows(&run).await;
}

#[tokio::test]
async fn outputs_that_break_their_schema_fail_with_location() {
    let world = World::new().await;
    let mut step = bash("count", r#"echo n=many > "$PLUE_OUTPUT""#);
    step.options.outputs =
        Some(json!({"type": "object", "properties": {"n": {"type": "integer"}}}));
    let (run, status) = world.run(vec![step]).await;
    assert_eq!(status, RunStatus::Failed);
    let facts = world.facts(&run).await;
    let reported = facts.iter().any(|fact| {
        matches!(fact, Fact::AttemptEnded { outcome: Outcome::Refused { message }, .. }
            if message.contains("/n: "))
    });
    assert!(reported, "{facts:?}");
}

#[tokio::test]
async fn missing_service_commands_fail_the_step_early() {
    let world = World::new().await;
    let mut step = bash("db", "touch ran");
    let service = plue_plan::policy::Service {
        image: "postgres:15".to_owned(),
        port: 5432,
        env: Default::default(),
    };
    step.options.services.push(service);
    let (run, status) = world.run(vec![step]).await;
    assert_eq!(status, RunStatus::Failed);
    let why = world.why(&run, "db").await;
    assert!(why.contains("PLUE-R0001") && why.contains("\"postgres:15\" ended"), "{why}");
    assert!(why.contains("port 5432") && why.contains("start no containers"), "{why}");
    assert!(!world.work().join("ran").exists());
}
