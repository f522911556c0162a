//! Metrics of real evaluations. One test: there is one recorder per process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the functions beside the test are not seen as tests"
)]

use std::{sync::Arc, time::Duration};

use plue_planner::{
    CommitView, Error, Evaluated, Options, PlanError, PlanRequest, Planner, Rate, Trust, WorkTree,
};
use plue_runtime::{Clock, Tasks, metrics};

#[cfg(test)]
#[path = "planner/program.rs"]
mod program;

const ENTRY: &str = "ci.plue.py";
const GOOD: &str = "def workflow():\n    return Plan(name='x', steps=[Step.bash('a', 'true')])\n";
const GREEDY: &str = "def workflow():\n    return 'x' * (1 << 30)\n";

async fn plan(planner: &Planner, source: &str, trust: Trust) -> Result<Evaluated, PlanError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(ENTRY), source).unwrap();
    let view: Arc<dyn CommitView> = Arc::new(WorkTree::new(folder.path()).including(ENTRY));
    let request = PlanRequest {
        view,
        entry: ENTRY.to_owned(),
        event: None,
        inputs: serde_json::Map::new(),
        trust,
        repository: "evil/fork".to_owned(),
    };
    planner.plan(request).await
}

/// The value of a series.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn evaluations_count_cpu_memory_and_outcome() {
    metrics::install().unwrap();
    let rate = Rate { burst: 2, every: Duration::from_secs(3_600), ..Rate::default() };
    let options = Options { pairs: 1, max_evaluations: 2, ..Options::new(program::evaluator()) };
    let planner = Planner::new(options, rate, Clock::real(), Tasks::new());

    for (source, trust) in [(GOOD, Trust::Own), (GOOD, Trust::Own), (GOOD, Trust::Untrusted)] {
        assert!(plan(&planner, source, trust).await.is_ok());
    }
    let killed = plan(&planner, GREEDY, Trust::Untrusted).await.unwrap_err();
    assert_eq!(killed.diagnostics()[0].code.as_str(), "PLUE-E0203");
    assert!(plan(&planner, GREEDY, Trust::Untrusted).await.is_err());
    let refused = plan(&planner, "x = 1\n", Trust::Untrusted).await;
    assert!(matches!(refused, Err(PlanError::Infrastructure(Error::TooOften { .. }))));
    assert!(plan(&planner, "x = 1\n", Trust::Own).await.is_err());
    assert!(plan(&planner, "x = 2\n", Trust::Own).await.is_err());

    let text = metrics::render();
    for (series, expected) in [
        ("plue_evaluations_total{trust=\"own\",outcome=\"plan\"}", 1.0),
        ("plue_evaluations_total{trust=\"untrusted\",outcome=\"plan\"}", 1.0),
        ("plue_evaluations_total{trust=\"untrusted\",outcome=\"memory\"}", 1.0),
        ("plue_evaluations_total{trust=\"own\",outcome=\"invalid\"}", 2.0),
        ("plue_plan_cache_hits_total{origin=\"memory\"}", 1.0),
        ("plue_evaluation_negative_cache_hits_total", 1.0),
        ("plue_evaluation_refusals_total{reason=\"rate\"}", 1.0),
        ("plue_evaluation_third_opinions_total{result=\"same\"}", 1.0),
        ("plue_evaluator_starts_total{trust=\"untrusted\",seed=\"third\"}", 1.0),
        // The plan, then two invalid files: the second of them met a new pair.
        ("plue_evaluator_starts_total{trust=\"own\",seed=\"a\"}", 2.0),
        ("plue_evaluator_restarts_total{trust=\"own\",reason=\"uses\"}", 4.0),
        // The plan, and two invalid files, each requested once more to find all its problems.
        ("plue_evaluation_cpu_seconds_count{trust=\"own\"}", 10.0),
        // A, B and a third of the plan; A and B of the greedy one.
        ("plue_evaluation_cpu_seconds_count{trust=\"untrusted\"}", 5.0),
        ("plue_evaluation_duration_seconds_count{trust=\"untrusted\"}", 5.0),
        ("plue_evaluation_memory_peak_bytes_count{trust=\"untrusted\"}", 5.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}\n{text}");
    }
    let memory = value(&text, "plue_evaluation_memory_peak_bytes_sum{trust=\"own\"}");
    assert!(memory / 10.0 > 1_048_576.0, "a child of CPython has more than a MiB: {memory}");
    let cpu = value(&text, "plue_evaluation_cpu_seconds_sum{trust=\"own\"}");
    assert!(cpu > 0.001 && cpu < 10.0, "{cpu}");
}
