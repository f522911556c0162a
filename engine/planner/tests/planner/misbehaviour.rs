//! Evaluators that crash, hang, lie and flood: each file gets a clear answer, and the next one works.

use std::time::Duration;

use crate::fake::{Bench, ENTRY, options};
use plue_planner::{Error, Options, PlanError, Rate, Trust};

async fn works_again(bench: &Bench) {
    let evaluated = bench.order("plan next").await.unwrap();
    assert_eq!(evaluated.workflows[0].hashed.plan.name, "next");
}

#[tokio::test]
async fn misbehaving_files_have_codes_and_no_aftermath() {
    let bench = Bench::new();
    for (order, code) in [
        ("crash", "PLUE-E0206"),
        ("truncated", "PLUE-E0206"),
        ("garbage", "PLUE-E0207"),
        ("oversized", "PLUE-E0207"),
        ("wrong-id", "PLUE-E0207"),
        ("needs-again", "PLUE-E0207"),
        ("needs-monster", "PLUE-E0207"),
        ("needs-forever", "PLUE-E0208"),
        ("spends", "PLUE-E0202"),
        ("needs-many", "PLUE-E0209"),
        ("killed cpu", "PLUE-E0202"),
        ("killed memory", "PLUE-E0203"),
        ("killed wall", "PLUE-E0204"),
        ("killed denied", "PLUE-E0205"),
        ("killed crashed", "PLUE-E0206"),
        ("killed bad", "PLUE-E0207"),
        ("many", "PLUE-E0215"),
    ] {
        let problems = bench.problems(order).await;
        assert_eq!(problems.len(), 1, "{order}: {problems:?}");
        assert!(problems[0].contains(code), "{order}: {problems:?}");
        assert!(problems[0].starts_with("ci.plue.py:1:1: "), "{order}: {problems:?}");
        works_again(&bench).await;
    }
}

#[tokio::test]
async fn a_silent_evaluator_is_killed_after_the_deadline() {
    let bench = Bench::new();
    let problems = bench.problems("hang").await;
    assert!(problems[0].contains("PLUE-E0204"), "{problems:?}");
    works_again(&bench).await;
}

#[tokio::test]
async fn the_rounds_of_a_file_share_one_deadline() {
    let bench = Bench::with(Options { total: Duration::ZERO, ..options() }, Rate::default(), None);
    // 400 ms of CPU in the first round: from then on the time counts.
    let problems = bench.problems("spends").await;
    assert!(problems[0].contains("PLUE-E0204"), "{problems:?}");
}

#[tokio::test]
async fn aged_zygotes_are_replaced_silently() {
    let bench = Bench::new();
    let first = bench.order("plan first").await.unwrap();
    let second = bench.order("crash-when-used x").await.unwrap();
    assert_ne!(Bench::process(&first), Bench::process(&second));
}

#[tokio::test]
async fn zygotes_are_replaced_after_their_evaluation_limit() {
    let bench = Bench::with(Options { max_evaluations: 2, ..options() }, Rate::default(), None);
    let mut processes = Vec::new();
    for name in ["a", "b", "c"] {
        let evaluated = bench.order(&format!("plan {name}")).await.unwrap();
        processes.push(Bench::process(&evaluated));
    }
    assert_eq!(processes[0], processes[1]);
    assert_ne!(processes[1], processes[2]);
}

#[tokio::test]
async fn zygotes_are_replaced_at_their_age_limit() {
    let bench =
        Bench::with(Options { max_age: Duration::ZERO, ..options() }, Rate::default(), None);
    let first = bench.order("plan a").await.unwrap();
    let second = bench.order("plan b").await.unwrap();
    assert_ne!(Bench::process(&first), Bench::process(&second));
}

#[tokio::test]
async fn trust_classes_never_share_a_zygote() {
    let bench = Bench::new();
    let own = bench.order("plan a").await.unwrap();
    bench.write(ENTRY, "#fake plan b");
    let strange = bench.planner.plan(bench.request(Trust::Untrusted)).await.unwrap();
    let own_again = bench.order("plan c").await.unwrap();
    assert_ne!(Bench::process(&own), Bench::process(&strange));
    assert_eq!(Bench::process(&own), Bench::process(&own_again));
}

#[tokio::test]
async fn unstartable_evaluators_differ_from_bad_files() {
    let start = async |word: &str| {
        let options = Options {
            allow_missing: vec![word.to_owned()],
            start_limit: Duration::from_millis(500),
            ..options()
        };
        let bench = Bench::with(options, Rate::default(), None);
        match bench.order("plan x").await {
            Err(PlanError::Infrastructure(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let error = start("dies-at-start").await;
    assert!(error.to_string().contains("no libpython here"), "{error}");
    assert!(matches!(start("silent").await, Error::NotReady { .. }));
    assert!(matches!(start("speaks-old").await, Error::Protocol { .. }));
    let error = start("has-no-landlock").await;
    assert!(error.to_string().contains("landlock (old kernel)"), "{error}");
    let absent = Bench::with(Options::new("/nowhere/plue-evaluator"), Rate::default(), None);
    let error = absent.order("plan x").await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/plue-evaluator"), "{error}");
}

#[tokio::test]
async fn evaluators_end_with_their_pool() {
    let bench = Bench::new();
    let evaluated = bench.order("plan a").await.unwrap();
    let process = Bench::process(&evaluated).replace("fake/", "/proc/");
    assert!(std::path::Path::new(&process).exists());
    drop(bench);
    let clock = plue_runtime::Clock::real();
    for _ in 0..500 {
        if !is_running(&process) {
            return;
        }
        clock.sleep(Duration::from_millis(10)).await;
    }
    panic!("{process} still runs");
}

/// A process that ended but is not yet reaped does not run.
fn is_running(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.starts_with(" Z"))
}

#[tokio::test]
async fn cancelled_evaluations_leave_no_stale_reply() {
    let bench = Bench::new();
    bench.write(ENTRY, "#fake hang");
    let clock = plue_runtime::Clock::real();
    tokio::select! {
        made = bench.planner.plan(bench.request(Trust::Own)) => panic!("{made:?}"),
        () = clock.sleep(Duration::from_millis(300)) => {}
    }
    assert_eq!(bench.planner.pool().idle_pairs(Trust::Own), 0);
    works_again(&bench).await;
}

#[tokio::test]
async fn waiting_for_an_evaluator_is_bounded() {
    let bench = Bench::with(Options { max_waiting: 0, ..options() }, Rate::default(), None);
    let error = bench.order("plan a").await.unwrap_err();
    assert!(matches!(error, PlanError::Infrastructure(Error::Busy { .. })), "{error:?}");
}
