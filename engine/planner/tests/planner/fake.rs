//! A planner with the fake evaluator, and a folder to plan from.

use std::{path::PathBuf, sync::Arc, time::Duration};

use plue_planner::{
    CommitView, Evaluated, Options, PlanCache, PlanError, PlanRequest, Planner, Rate, Trust,
    WorkTree,
};
use plue_runtime::{Clock, Tasks};

/// The file that is planned.
pub(crate) const ENTRY: &str = "ci.plue.py";

/// A folder, a planner and the fake evaluator.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) planner: Planner,
}

/// The fake evaluator, built by Cargo along with the tests.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = target.join("examples/fake_evaluator");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

pub(crate) fn options() -> Options {
    Options { pairs: 1, slack: Duration::from_millis(500), ..Options::new(program()) }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(options(), Rate::default(), None)
    }

    pub(crate) fn with(options: Options, rate: Rate, cache: Option<Arc<dyn PlanCache>>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            planner: Planner::with_cache(options, rate, Clock::real(), Tasks::new(), cache),
        }
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn view(&self) -> Arc<dyn CommitView> {
        Arc::new(WorkTree::new(self.folder.path()))
    }

    pub(crate) fn request(&self, trust: Trust) -> PlanRequest {
        PlanRequest {
            view: self.view(),
            entry: ENTRY.to_owned(),
            event: None,
            inputs: serde_json::Map::new(),
            trust,
            repository: "o/r".to_owned(),
        }
    }

    /// Plans a file with this order.
    pub(crate) async fn order(&self, order: &str) -> Result<Evaluated, PlanError> {
        self.write(ENTRY, format!("#fake {order}"));
        self.planner.plan(self.request(Trust::Own)).await
    }

    /// The codes and messages of a file with this order.
    pub(crate) async fn problems(&self, order: &str) -> Vec<String> {
        match self.order(order).await {
            Ok(_) => Vec::new(),
            Err(PlanError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(error @ PlanError::Infrastructure(_)) => panic!("{error}: {error:?}"),
        }
    }

    /// The process id of the evaluator that made this.
    pub(crate) fn process(evaluated: &Evaluated) -> String {
        evaluated.read_set.evaluator.clone()
    }
}

/// The `run` of the first step of the first plan.
pub(crate) fn run_of(evaluated: &Evaluated) -> String {
    let plue_plan::Action::Bash(bash) = &evaluated.workflows[0].hashed.plan.steps[0].action else {
        panic!("{evaluated:?}");
    };
    bash.run.clone()
}
