//! With the real evaluator: the corpora, `ctx`, and that nothing around it changes a plan.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use plue_plan::{Event, PlanHash, StepId, event::EventType};
use plue_planner::{
    CommitView, Evaluated, Options, PlanError, PlanRequest, Planner, Rate, Trust, Verification,
    WorkTree,
};
use plue_runtime::{Clock, Tasks};

use crate::{
    fake::{ENTRY, run_of},
    program::evaluator,
};

fn planner(program: &Path) -> Planner {
    let options = Options { pairs: 1, ..Options::new(program) };
    Planner::new(options, Rate::default(), Clock::real(), Tasks::new())
}

/// A folder with a workflow file.
fn folder(source: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(ENTRY), source).unwrap();
    folder
}

fn view(folder: &Path) -> Arc<dyn CommitView> {
    Arc::new(WorkTree::new(folder).including(ENTRY))
}

async fn plan(planner: &Planner, at: &Path) -> Result<Evaluated, PlanError> {
    let request = PlanRequest {
        view: view(at),
        entry: ENTRY.to_owned(),
        event: Some(Event { branch: Some("main".to_owned()), ..Event::new(EventType::Push) }),
        inputs: serde_json::Map::new(),
        trust: Trust::Own,
        repository: "o/r".to_owned(),
    };
    planner.plan(request).await
}

/// Files of the evaluator's corpus of good workflows, by name.
fn benign() -> BTreeMap<String, Vec<u8>> {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../evaluator/tests/benign");
    let files = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path());
    let sources = files.filter(|path| path.extension().is_some_and(|end| end == "py"));
    let named = sources.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    });
    named.collect()
}

fn hashes(evaluated: &Evaluated) -> Vec<PlanHash> {
    evaluated.workflows.iter().map(|workflow| workflow.hashed.hash).collect()
}

#[tokio::test]
async fn row_1_35_hashes_are_equal_across_folders_and_processes() {
    let program = evaluator();
    let wrapped = folder("");
    let mut planners = vec![planner(&program)];
    for (at, setting) in [
        "TZ=Asia/Kathmandu LC_ALL=tr_TR.UTF-8",
        "TZ=America/St_Johns LANG=C PYTHONHASHSEED=7 HOME=/tmp",
        "PYTHONPATH=/tmp PYTHONUTF8=0 LC_ALL=ja_JP.eucJP",
    ]
    .into_iter()
    .enumerate()
    {
        let script = wrapped.path().join(format!("evaluator{at}"));
        let text = format!("#!/bin/sh\nexec env {setting} '{}' \"$@\"\n", program.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        planners.push(planner(&script));
    }
    let corpus = benign();
    assert!(!corpus.is_empty());
    for (name, source) in corpus {
        let mut seen: Option<Vec<PlanHash>> = None;
        for planner in &planners {
            let folder = folder(&source);
            let made = plan(planner, folder.path()).await;
            let made = made.unwrap_or_else(|error| panic!("{name}: {:#?}", error.diagnostics()));
            assert!(!made.workflows.is_empty(), "{name}");
            assert_eq!(*seen.get_or_insert_with(|| hashes(&made)), hashes(&made), "{name}");
            let record = &made.read_set;
            for _again in 0..4 {
                let plan = &made.workflows[0].hashed.plan;
                let verified = planner.verify(record, plan, &view(folder.path()), Trust::Own).await;
                assert_eq!(verified.unwrap(), Verification::Equal, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn row_1_33_the_documented_example_is_a_plan() {
    let corpus = benign();
    let folder = folder(&corpus["b01_seed_example.plue.py"]);
    let made = plan(&planner(&evaluator()), folder.path()).await.unwrap();
    let plan = &made.workflows[0].hashed.plan;
    let steps: Vec<_> =
        plan.steps.iter().map(|step| (step.id.as_str(), step.action.kind())).collect();
    assert_eq!(steps, [("test", "bash"), ("build", "bash"), ("review", "llm")]);
    assert_eq!(plan.triggers.len(), 2);
    let behind =
        |at: usize| plan.steps[at].depends_on.iter().map(StepId::as_str).collect::<Vec<_>>();
    assert_eq!((behind(0), behind(1), behind(2)), (vec![], vec!["test"], vec!["test"]));
    assert!(made.workflows[0].warnings.is_empty());
    assert!(made.workflows[0].places.steps.len() == 3, "{:?}", made.workflows[0].places);
}

#[tokio::test]
async fn ctx_reads_of_the_commit_are_recorded() {
    let source = r#"
def workflow(ctx):
    names = [p for p in ctx.glob("pkg/*/package.json")]
    seen = [ctx.read(p) for p in names] + [str(ctx.exists("nope")), str(ctx.exists("pkg"))]
    return Plan(name="reads", steps=[
        Step.bash("a", "echo " + " ".join(seen + list(ctx.changed_files)) + " " + ctx.event.branch),
    ])
"#;
    let folder = folder(source);
    for name in ["b", "a"] {
        std::fs::create_dir_all(folder.path().join("pkg").join(name)).unwrap();
        std::fs::write(folder.path().join(format!("pkg/{name}/package.json")), name).unwrap();
    }
    let planner = planner(&evaluator());
    let made = plan(&planner, folder.path()).await;
    let made = made.unwrap_or_else(|error| panic!("{error}: {:#?}", error.diagnostics()));
    assert_eq!(
        run_of(&made),
        "echo a b False True ci.plue.py pkg/a/package.json pkg/b/package.json main"
    );
    let files: Vec<_> = made.read_set.files.keys().map(String::as_str).collect();
    assert_eq!(files, ["nope", "pkg", "pkg/a/package.json", "pkg/b/package.json"]);
    assert!(made.read_set.changed_files.is_some());
}

#[tokio::test]
async fn set_order_dependence_is_refused_with_the_field() {
    let source = r#"
def workflow():
    names = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"}
    return Plan(name="sets", steps=[Step.bash(n, "true") for n in names])
"#;
    let folder = folder(source);
    let error = plan(&planner(&evaluator()), folder.path()).await.unwrap_err();
    let message = error.diagnostics()[0].to_string();
    assert!(message.contains("PLUE-E0201") && message.contains("`steps[0].id`"), "{message}");
}

#[tokio::test]
async fn row_1_04_greedy_files_are_stopped_without_aftermath() {
    let planner = planner(&evaluator());
    let forever = "def workflow():\n    while True:\n        pass\n";
    let greedy = "def workflow():\n    x = []\n    while True:\n        x.append('y' * 1000000)\n";
    // On a busy machine the wall-clock limit is reached before the CPU limit.
    for (source, codes) in
        [(forever, &["PLUE-E0202", "PLUE-E0204"][..]), (greedy, &["PLUE-E0203", "PLUE-E0204"])]
    {
        let greedy = folder(source);
        let error = plan(&planner, greedy.path()).await.unwrap_err();
        let problems = error.diagnostics();
        assert!(codes.contains(&problems[0].code.as_str()), "{problems:?}");
        let fine =
            folder("def workflow():\n    return Plan(name='x', steps=[Step.bash('a', 'true')])\n");
        assert_eq!(plan(&planner, fine.path()).await.unwrap().workflows.len(), 1);
    }
}

#[tokio::test]
async fn row_1_26_a_mistake_in_the_file_is_placed() {
    let folder =
        folder("def workflow():\n    return Plan(name='x', steps=[Step.bash('a', 'true'])\n");
    let error = plan(&planner(&evaluator()), folder.path()).await.unwrap_err();
    let span = error.diagnostics()[0].span.clone().unwrap();
    assert_eq!((span.file.as_str(), span.line), (ENTRY, 2), "{:?}", error.diagnostics());
}
