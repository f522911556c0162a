//! From a folder to plans, with a fake evaluator that follows orders.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::fake::{Bench, ENTRY, options, run_of};
use plue_plan::{Event, event::EventType};
use plue_planner::{
    CommitView, Error, Options, PlanCache, PlanError, Rate, Trust, Verification, ViewError,
    cache::Boxed, planner::PlanSource, view::Content,
};

#[tokio::test]
async fn facts_are_resolved_in_rounds_and_recorded() {
    let bench = Bench::new();
    bench.write("a.txt", "hello");
    bench.write("bin.dat", [0xff, 0xfe]);
    bench.write("src/x.rs", "");
    let order = "needs read:a.txt read:bin.dat read:no.txt exists:src exists:a.txt glob:**/*.rs read:src read:../etc/passwd";
    let evaluated = bench.order(order).await.unwrap();
    assert_eq!(
        run_of(&evaluated),
        "echo hello; (not text); (absent); (not text); hello; src/x.rs; (not text); (absent)"
    );
    assert_eq!(evaluated.rounds, 8);
    let record = &evaluated.read_set;
    assert_eq!(record.files.len(), 5);
    assert_eq!(record.globs.len(), 1);
    assert_eq!(record.sources.keys().collect::<Vec<_>>(), [ENTRY]);
    assert!(evaluated.printed.starts_with("printed"));
    assert!(!evaluated.printed.contains('\u{1b}'));
}

#[tokio::test]
async fn both_evaluations_get_what_either_asks_for() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.write("b", "2");
    let made = bench.order("needs-by-seed read:a read:b").await.unwrap();
    assert_eq!((run_of(&made).as_str(), made.rounds), ("echo 1; 2", 2));
    let problems = bench.problems("by-seed x").await;
    assert!(problems[0].contains("PLUE-E0201"), "{problems:?}");
}

#[tokio::test]
async fn what_a_file_reads_is_bounded_in_bytes() {
    let bench = Bench::new();
    for n in 0..5 {
        bench.write(&format!("f{n}"), vec![b'x'; 4 * 1024 * 1024]);
    }
    bench.write("larger", vec![b'x'; 4 * 1024 * 1024 + 1]);
    let problems = bench.problems("needs read:f0 read:f1 read:f2 read:f3 read:f4").await;
    assert!(problems[0].contains("PLUE-E0210"), "{problems:?}");
    let made = bench.order("needs read:larger").await.unwrap();
    assert_eq!(run_of(&made), "echo (not text)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_pairs_stay_within_the_limit() {
    let bench = Bench::with(Options { pairs: 2, ..options() }, Rate::default(), None);
    let tasks = plue_runtime::Tasks::new();
    let plans: Vec<_> = (0..12)
        .map(|n| {
            let (planner, mut request) = (bench.planner.clone(), bench.request(Trust::Own));
            request.entry = format!("f{n}.plue.py");
            bench.write(&request.entry, format!("#fake plan p{n}"));
            tasks.spawn("plan", async move { planner.plan(request).await })
        })
        .collect();
    let mut processes = std::collections::BTreeSet::new();
    for plan in plans {
        processes.insert(Bench::process(&plan.await.unwrap().unwrap()));
    }
    assert!(processes.len() <= 2, "{processes:?}");
    assert!(bench.planner.pool().idle_pairs(Trust::Own) <= 2);
}

#[tokio::test]
async fn differing_plans_are_refused_with_the_first_difference() {
    let bench = Bench::new();
    let problems = bench.problems("by-seed").await;
    assert!(problems[0].contains("PLUE-E0201"), "{problems:?}");
    assert!(
        problems[0].contains("`name` is \"plan-A\" in one evaluation and \"plan-B\" in another"),
        "{problems:?}"
    );
    assert!(problems[0].contains("a set has no order"), "{problems:?}");
    let problems = bench.problems("fails-in-b x").await;
    assert!(problems[0].contains("one evaluation fails and another does not"), "{problems:?}");
    assert!(problems[1].contains("PLUE-E0001"), "{problems:?}");
}

#[tokio::test]
async fn untrusted_plans_need_a_third_secret_seed() {
    let bench = Bench::new();
    let strange = async |order: &str| {
        bench.write(ENTRY, format!("#fake {order}"));
        let made = bench.planner.plan(bench.request(Trust::Untrusted)).await;
        made.map(|made| run_of(&made)).map_err(|error| error.diagnostics()[0].to_string())
    };
    assert!(bench.order("by-third x").await.is_ok(), "our own files are not asked about");
    let message = strange("by-third x").await.unwrap_err();
    assert!(message.contains("PLUE-E0201") && message.contains("third"), "{message}");
    bench.write("a.txt", "one");
    // Requests of only the third are answered for all.
    let message = strange("third-needs read:a.txt").await.unwrap_err();
    assert!(message.contains("PLUE-E0201"), "{message}");
    assert_eq!(strange("plan x").await.unwrap(), "true");
}

#[tokio::test]
async fn plans_from_the_evaluator_are_validated_fully() {
    let bench = Bench::new();
    for (json, code) in [
        ("{", "PLUE-P0003"),
        (r#"{"version":1,"name":"x","steps":[],"extra":1}"#, "PLUE-P0003"),
        (r#"{"version":1,"name":"x","name":"y","steps":[]}"#, "PLUE-P0004"),
        (
            r#"{"version":1,"name":"x","steps":[{"id":"a","kind":"bash","run":"x","depends_on":["b"]}]}"#,
            "PLUE-P0012",
        ),
        (
            r#"{"version":1,"name":"x","steps":[{"id":"a","kind":"bash","run":"x","when":"1 +"}]}"#,
            "PLUE-P0029",
        ),
        (
            r#"{"version":1,"name":"x","steps":[{"id":"a","kind":"bash","run":"x","when":"steps.b.status == 'failed'"}]}"#,
            "PLUE-P0031",
        ),
    ] {
        let problems = bench.problems(&format!("json\n{json}")).await;
        assert!(problems.iter().any(|problem| problem.contains(code)), "{json}: {problems:?}");
    }
}

#[tokio::test]
async fn diagnostics_of_an_evaluation_are_taken_over_cleaned() {
    let bench = Bench::new();
    let problems = bench.problems("failed").await;
    assert_eq!(problems, ["ci.plue.py:2:3: PLUE-E0001: name \u{fffd}[2J is unknown"]);
    for nothing in ["[]", "{", r#"[{"code":"X","severity":"error","message":"m"}]"#] {
        let problems = bench.problems(&format!("failed\n{nothing}")).await;
        assert!(problems[0].contains("PLUE-E0207"), "{nothing}: {problems:?}");
    }
}

#[tokio::test]
async fn two_plans_of_one_name_are_warned_of() {
    let evaluated = Bench::new().order("twice").await.unwrap();
    assert!(evaluated.workflows[0].warnings.is_empty());
    assert_eq!(evaluated.workflows[1].warnings[0].code.as_str(), "PLUE-E0221");
}

#[tokio::test]
async fn sources_are_checked_before_an_evaluator_sees_them() {
    let bench = Bench::new();
    let problems = async || match bench.planner.plan(bench.request(Trust::Own)).await {
        Err(PlanError::Invalid(problems)) => problems[0].to_string(),
        other => panic!("{other:?}"),
    };
    assert!(problems().await.contains("PLUE-E0214"));
    bench.write(ENTRY, vec![b'#'; 256 * 1024 + 1]);
    assert!(problems().await.contains("PLUE-E0211"));
    bench.write(ENTRY, b"# ok\n# \xc3\xa4 \xff\n");
    let message = problems().await;
    assert!(message.starts_with("ci.plue.py:2:5: PLUE-E0213"), "{message}");
    bench.write(ENTRY, "#fake plan x");
    for n in 0..5 {
        bench.write(&format!(".plue/lib/m{n}.py"), vec![b'#'; 250 * 1024]);
    }
    assert!(problems().await.contains("PLUE-E0212"));
    assert_eq!(bench.planner.pool().idle_pairs(Trust::Own), 0);
}

#[tokio::test]
async fn row_1_28_plans_are_cached_while_facts_hold() {
    let bench = Bench::new();
    bench.write("a.txt", "one");
    let order = "needs read:a.txt glob:*.rs";
    let first = bench.order(order).await.unwrap();
    let second = bench.order(order).await.unwrap();
    assert_eq!((first.origin, second.origin), (PlanSource::Evaluated, PlanSource::Memory));
    assert_eq!(first.workflows[0].hashed.bytes, second.workflows[0].hashed.bytes);
    bench.write("a.txt", "two");
    let again = bench.order(order).await.unwrap();
    assert_eq!((again.origin, run_of(&again)), (PlanSource::Evaluated, "echo two; ".to_owned()));
    bench.write("x.rs", "");
    assert_eq!(bench.order(order).await.unwrap().origin, PlanSource::Evaluated);
    bench.write(".plue/lib/new.py", "");
    assert_eq!(bench.order(order).await.unwrap().origin, PlanSource::Evaluated);
    let mut request = bench.request(Trust::Own);
    request.event = Some(Event::new(EventType::Push));
    // The file has not requested the event.
    assert_eq!(bench.planner.plan(request).await.unwrap().origin, PlanSource::Memory);
}

/// A store that forgets nothing.
#[derive(Debug, Default)]
struct MemoryCache(Mutex<HashMap<String, Vec<u8>>>);

impl PlanCache for MemoryCache {
    fn get<'c>(&'c self, key: &'c str) -> Boxed<'c, Option<Vec<u8>>> {
        Box::pin(async move { self.0.lock().unwrap().get(key).cloned() })
    }

    fn put<'c>(&'c self, key: &'c str, value: Vec<u8>) -> Boxed<'c, ()> {
        Box::pin(async move {
            self.0.lock().unwrap().insert(key.to_owned(), value);
        })
    }
}

#[tokio::test]
async fn stored_plans_are_checked_by_hash_without_evaluation() {
    let cache = Arc::new(MemoryCache::default());
    let folder = {
        let bench = Bench::with(options(), Rate::default(), Some(cache.clone()));
        bench.order("plan kept").await.unwrap();
        bench.folder
    };
    let bench = Bench { folder, ..Bench::with(options(), Rate::default(), Some(cache.clone())) };
    let found = bench.order("plan kept").await.unwrap();
    assert_eq!(found.origin, PlanSource::Stored);
    assert_eq!(bench.planner.pool().idle_pairs(Trust::Own), 0);
    for value in cache.0.lock().unwrap().values_mut() {
        let text = String::from_utf8(value.clone()).unwrap();
        *value = text.replace("true", "evil").into_bytes();
    }
    let bench =
        Bench { folder: bench.folder, ..Bench::with(options(), Rate::default(), Some(cache)) };
    let made = bench.order("plan kept").await.unwrap();
    assert_eq!((made.origin, run_of(&made)), (PlanSource::Evaluated, "true".to_owned()));
}

#[tokio::test]
async fn recorded_plans_are_reproduced_or_the_difference_named() {
    let bench = Bench::new();
    bench.write("a.txt", "one");
    let made = bench.order("needs read:a.txt exists:b.txt glob:*.rs").await.unwrap();
    let (record, plan) = (made.read_set.clone(), made.workflows[0].hashed.plan.clone());
    let text = serde_json::to_string(&*record).unwrap();
    let record: plue_planner::ReadSet = serde_json::from_str(&text).unwrap();
    let verify =
        async || bench.planner.verify(&record, &plan, &bench.view(), Trust::Own).await.unwrap();
    assert_eq!(verify().await, Verification::Equal);
    bench.write("a.txt", "two");
    bench.write("b.txt", "");
    bench.write("z.rs", "");
    let Verification::Differs { facts, plan: Some(differs), evaluator: None, problems } =
        verify().await
    else {
        panic!("equal");
    };
    let names: Vec<_> = facts.iter().map(|fact| fact.path.as_str()).collect();
    assert_eq!(names, ["a.txt", "b.txt", "glob *.rs"]);
    assert_eq!(differs.path, "steps[0].run");
    assert!(differs.right.contains("two") && problems.is_empty());
    bench.write(ENTRY, "#fake failed");
    let Verification::Differs { problems, facts, .. } = verify().await else {
        panic!("equal");
    };
    assert!(!problems.is_empty());
    assert!(facts.iter().any(|fact| fact.path == ENTRY));
}

#[tokio::test]
async fn row_1_26_broken_files_do_not_hide_others() {
    let bench = Bench::new();
    bench.write("a.plue.py", "#fake plan alpha");
    bench.write("b.plue.py", "#fake failed");
    bench.write("sub/.plue.py", "#fake plan beta");
    bench.write("c.plue.yaml", "version: '1.0'");
    bench.write("d.plue.py", b"\xff");
    let view: Arc<dyn CommitView> = bench.view();
    let (listed, problems) = bench.planner.list(&view, Trust::Own, "o/r").await.unwrap();
    let fine: Vec<_> =
        listed.iter().filter(|l| l.plans.is_ok()).map(|l| l.file.path.as_str()).collect();
    assert_eq!(fine, ["a.plue.py", "sub/.plue.py"]);
    assert_eq!((listed.len(), problems.len()), (5, 0));
    let find = async |name: &str| {
        let found = bench.planner.find(&view, name, Trust::Own, "o/r").await;
        found.map(|file| file.path).map_err(|error| error.diagnostics()[0].to_string())
    };
    assert_eq!(find("a").await.unwrap(), "a.plue.py");
    assert_eq!(find("sub").await.unwrap(), "sub/.plue.py");
    assert_eq!(find("beta").await.unwrap(), "sub/.plue.py");
    let unknown = find("alhpa").await.unwrap_err();
    assert!(
        unknown.contains("PLUE-E0218") && unknown.contains("did you mean `alpha`?"),
        "{unknown}"
    );
}

#[tokio::test]
async fn untrusted_repositories_are_throttled_hostile_files_remembered() {
    let rate = Rate { burst: 2, every: Duration::from_secs(3_600), ..Rate::default() };
    let bench = Bench::with(options(), rate, None);
    let strange = async |order: &str, repository: &str| {
        bench.write(ENTRY, format!("#fake {order}"));
        let request = plue_planner::PlanRequest {
            repository: repository.to_owned(),
            ..bench.request(Trust::Untrusted)
        };
        bench.planner.plan(request).await
    };
    for _ in 0..5 {
        let error = strange("killed cpu", "evil/fork").await.unwrap_err();
        assert_eq!(error.diagnostics()[0].code.as_str(), "PLUE-E0202");
    }
    assert!(strange("plan one", "evil/fork").await.is_ok());
    let error = strange("plan two", "evil/fork").await.unwrap_err();
    let PlanError::Infrastructure(error @ Error::TooOften { .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.diagnostic().unwrap().code.as_str(), "PLUE-E0216");
    assert!(strange("plan two", "good/fork").await.is_ok());
    assert!(strange("plan one", "evil/fork").await.is_ok(), "what is cached costs nothing");
}

/// A folder that is shown as a commit.
#[derive(Debug)]
struct Committed(Arc<dyn CommitView>, &'static str);

impl CommitView for Committed {
    fn identity(&self) -> Option<String> {
        Some(self.1.to_owned())
    }

    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError> {
        self.0.matching(keep)
    }

    fn is_there(&self, path: &str) -> Result<bool, ViewError> {
        self.0.is_there(path)
    }

    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError> {
        self.0.content(path, cap)
    }

    fn changed_files(&self) -> Result<Vec<String>, ViewError> {
        self.0.changed_files()
    }
}

#[tokio::test]
async fn invalid_files_of_a_commit_are_evaluated_once() {
    let rate = Rate { burst: 2, every: Duration::from_secs(3_600), ..Rate::default() };
    let bench = Bench::with(options(), rate, None);
    bench.write(ENTRY, "#fake failed");
    let plan = async |commit: &'static str| {
        let view = Arc::new(Committed(bench.view(), commit));
        let request = plue_planner::PlanRequest { view, ..bench.request(Trust::Untrusted) };
        bench.planner.plan(request).await.unwrap_err()
    };
    // Each evaluation of an untrusted file takes one of two tokens.
    for _ in 0..40 {
        let PlanError::Invalid(problems) = plan("one").await else { panic!("not invalid") };
        assert!(!problems.is_empty());
    }
    assert!(matches!(plan("two").await, PlanError::Invalid(_)));
    assert!(matches!(plan("three").await, PlanError::Infrastructure(Error::TooOften { .. })));
    assert!(matches!(plan("one").await, PlanError::Invalid(_)));
}

#[tokio::test]
async fn hostile_files_are_remembered_for_every_event() {
    let rate = Rate { burst: 2, every: Duration::from_secs(3_600), ..Rate::default() };
    let bench = Bench::with(options(), rate, None);
    bench.write(ENTRY, "#fake killed cpu");
    for n in 0..40 {
        let event = Event { actor: Some(format!("a{n}")), ..Event::new(EventType::PullRequest) };
        let request =
            plue_planner::PlanRequest { event: Some(event), ..bench.request(Trust::Untrusted) };
        let error = bench.planner.plan(request).await.unwrap_err();
        assert_eq!(error.diagnostics()[0].code.as_str(), "PLUE-E0202");
    }
}

#[tokio::test]
async fn the_event_reaches_the_file_and_the_record() {
    let bench = Bench::new();
    bench.write(ENTRY, "#fake event");
    let mut request = bench.request(Trust::Own);
    request.event = Some(Event { branch: Some("main".to_owned()), ..Event::new(EventType::Push) });
    let made = bench.planner.plan(request).await.unwrap();
    assert_eq!(run_of(&made), r#"{"type":"push","branch":"main"}"#);
    assert_eq!(made.read_set.event_json.as_deref(), Some(run_of(&made).as_str()));
}

#[tokio::test]
async fn event_independent_plans_are_cached_for_every_event() {
    let bench = Bench::new();
    let origin = async |n: usize| {
        let event = Event { actor: Some(format!("a{n}")), ..Event::new(EventType::Push) };
        let request = plue_planner::PlanRequest { event: Some(event), ..bench.request(Trust::Own) };
        let made = bench.planner.plan(request).await.unwrap();
        (made.origin, made.read_set.event_json.is_some())
    };
    bench.write(ENTRY, "#fake plan x");
    assert_eq!(origin(1).await, (PlanSource::Evaluated, false));
    assert_eq!(origin(2).await, (PlanSource::Memory, false));
    let listed = bench.planner.plan(bench.request(Trust::Own)).await.unwrap();
    assert_eq!(listed.origin, PlanSource::Memory);
    for asks in ["#fake event", "#fake plan x # ctx.event"] {
        bench.write(ENTRY, asks);
        assert_eq!(origin(1).await, (PlanSource::Evaluated, true), "{asks}");
        assert_eq!(origin(2).await, (PlanSource::Evaluated, true), "{asks}");
        assert_eq!(origin(2).await, (PlanSource::Memory, true), "{asks}");
    }
}

#[tokio::test]
async fn a_pair_can_be_started_early() {
    let bench = Bench::new();
    bench.planner.pool().warm(Trust::Own).unwrap();
    bench.planner.pool().warm(Trust::Own).unwrap();
    assert_eq!(bench.planner.pool().idle_pairs(Trust::Own), 1);
    let hello = bench.planner.pool().hello(Trust::Own).await.unwrap();
    let made = bench.order("plan x").await.unwrap();
    assert_eq!(Bench::process(&made), hello.build);
}

/// The error of a file of one commit, planned for the nth of many events.
async fn for_event(bench: &Bench, n: usize, trust: Trust) -> PlanError {
    let event = Event { actor: Some(format!("a{n}")), ..Event::new(EventType::IssueComment) };
    let view = Arc::new(Committed(bench.view(), "one"));
    let request = plue_planner::PlanRequest { view, event: Some(event), ..bench.request(trust) };
    bench.planner.plan(request).await.unwrap_err()
}

#[tokio::test]
async fn static_problems_are_found_once_for_all_events() {
    let rate = Rate { burst: 1, every: Duration::from_secs(3_600), ..Rate::default() };
    let bench = Bench::with(options(), rate, None);
    // The first problem of the fake is one that is found before `workflow` is called.
    bench.write(ENTRY, "#fake failed");
    for n in 0..200 {
        let error = for_event(&bench, n, Trust::Untrusted).await;
        assert!(matches!(error, PlanError::Invalid(_)), "{n}: {error}");
    }
}

#[tokio::test]
async fn problems_of_listings_do_not_affect_events() {
    let bench = Bench::with(options(), Rate::default(), None);
    let raised = r#"[{"code":"PLUE-E0026","severity":"error","message":"m"}]"#;
    bench.write(ENTRY, format!("#fake fails-listed later\n{raised}"));
    let ask = |event: Option<Event>| {
        let view = Arc::new(Committed(bench.view(), "one"));
        bench.planner.plan(plue_planner::PlanRequest { view, event, ..bench.request(Trust::Own) })
    };
    let listed = ask(None).await;
    assert!(matches!(listed, Err(PlanError::Invalid(_))), "{listed:?}");
    assert!(ask(Some(Event::new(EventType::Manual))).await.is_ok());
}

#[tokio::test]
async fn raising_files_of_own_commits_are_throttled() {
    let rate = Rate { burst: 3, every: Duration::from_secs(3_600), ..Rate::default() };
    let bench = Bench::with(options(), rate, None);
    let raised = r#"[{"code":"PLUE-E0026","severity":"error","message":"m"}]"#;
    bench.write(ENTRY, format!("#fake failed\n{raised}"));
    for n in 0..4 {
        let error = for_event(&bench, n, Trust::Own).await;
        assert!(matches!(error, PlanError::Invalid(_)), "{n}: {error}");
    }
    let error = for_event(&bench, 4, Trust::Own).await;
    assert!(matches!(error, PlanError::Infrastructure(Error::TooOften { .. })), "{error}");
    assert!(matches!(for_event(&bench, 0, Trust::Own).await, PlanError::Invalid(_)));
    bench.write(ENTRY, "#fake plan other");
    let view = Arc::new(Committed(bench.view(), "two"));
    let request = plue_planner::PlanRequest { view, ..bench.request(Trust::Own) };
    assert!(bench.planner.plan(request).await.is_ok(), "another commit is not held up");
}
