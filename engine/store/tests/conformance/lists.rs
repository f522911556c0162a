//! Lists of runs: filters, pages in both directions, the plan before, and spending.

use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_store::{
    Committed, Error, Refused, Store,
    run::{ListedRun, RunQuery},
    usage::claude::{NewCall, SpendLife, SpendScope, SpendUnit},
};
use serde_json::{Value as Json, json};

use crate::support::{at, commit, new_run, plan};

fn ids(rows: &[ListedRun]) -> Vec<&str> {
    rows.iter().map(|row| row.run.id.as_str()).collect()
}

fn all() -> RunQuery {
    RunQuery { limit: 50, ..RunQuery::default() }
}

/// A run of a repository with an event, by a plan of this name.
async fn add(
    store: &Store,
    id: &str,
    repo: &str,
    event: Json,
    of: &str,
) -> Result<Result<Committed, Refused>, Error> {
    let sealed = plan(of);
    store.plans().put(&sealed).await?;
    let mut new = new_run(id, sealed.hash);
    new.repo = Some(repo.to_owned());
    new.branch = event["branch"].as_str().map(str::to_owned);
    new.event = event;
    let first = commit(&new.id, 0, RunStatus::Running);
    store.runs().create(new, first).await
}

on_each_store! {
    async fn lists_show_events_and_changes_of_plans(world) {
        let store = &world.store;
        let push = json!({"type": "push", "actor": "ada", "branch": "main"});
        let pull = json!({
            "type": "pull_request",
            "actor": "e\u{0}ve",
            "pull_request": {"title": "Fix <it>"},
        });
        add(store, "01a", "acme/app", push.clone(), "one").await.unwrap().unwrap();
        add(store, "01b", "acme/web", push.clone(), "two").await.unwrap().unwrap();
        add(store, "01c", "acme/app", push, "one").await.unwrap().unwrap();
        add(store, "01d", "acme/app", pull, "two").await.unwrap().unwrap();
        let rows = store.run_lists().list(&all()).await.unwrap();
        assert_eq!(ids(&rows), ["01d", "01c", "01b", "01a"]);
        assert_eq!(rows[0].event.title.as_deref(), Some("Fix <it>"));
        assert_eq!(rows[0].event.actor.as_deref(), Some("eve"));
        let before: Vec<_> = rows.iter().map(|row| row.plan_before).collect();
        let one = Some(plan("one").hash);
        assert_eq!(before, [one, one, None, None], "of the same repository");
        for row in &rows {
            let found = store.run_lists().plan_before(&row.run.id).await.unwrap();
            assert_eq!(found, row.plan_before, "{}", row.run.id);
        }
        assert_eq!(store.run_lists().plan_before(&RunId::new("none")).await.unwrap(), None);
    }

    async fn lists_pass_what_their_filter_names(world) {
        let store = &world.store;
        let push = json!({"type": "push", "actor": "ada", "branch": "main"});
        let tick = json!({"type": "schedule", "branch": "50%_off"});
        add(store, "01a", "acme/app", push.clone(), "demo").await.unwrap().unwrap();
        add(store, "01b", "acme/web", push, "demo").await.unwrap().unwrap();
        add(store, "01c", "other/x", tick, "demo").await.unwrap().unwrap();
        let text = |text: &str| Some(text.to_owned());
        let cases: [(RunQuery, &[&str]); 10] = [
            (RunQuery { event: text("push"), ..all() }, &["01b", "01a"]),
            (RunQuery { actor: text("ada"), repos: Some(vec!["acme/web".to_owned()]), ..all() }, &["01b"]),
            (RunQuery { branch: text("main"), limit: 1, ..all() }, &["01b"]),
            (RunQuery { status: vec![RunStatus::Failed], ..all() }, &[]),
            (RunQuery { status: vec![RunStatus::Running, RunStatus::Queued], ..all() }, &["01c", "01b", "01a"]),
            (RunQuery { text: text("ACME"), ..all() }, &["01b", "01a"]),
            (RunQuery { text: text("0%_o"), ..all() }, &["01c"]),
            (RunQuery { text: text("%"), event: text("push"), ..all() }, &[]),
            (RunQuery { repos: Some(Vec::new()), ..all() }, &[]),
            (
                RunQuery { repos: Some(vec!["other/x".to_owned(), "acme/app".to_owned()]), ..all() },
                &["01c", "01a"],
            ),
        ];
        for (query, wanted) in cases {
            assert_eq!(ids(&store.run_lists().list(&query).await.unwrap()), wanted, "{query:?}");
        }
    }

    async fn lists_are_paged_both_ways(world) {
        let store = &world.store;
        for id in ["01a", "01b", "01c", "01d"] {
            add(store, id, "acme/app", json!({"type": "push"}), "demo").await.unwrap().unwrap();
        }
        let before = RunQuery { before: Some(RunId::new("01c")), limit: 1, ..all() };
        assert_eq!(ids(&store.run_lists().list(&before).await.unwrap()), ["01b"]);
        let after = RunQuery { after: Some(RunId::new("01a")), limit: 2, ..all() };
        assert_eq!(ids(&store.run_lists().list(&after).await.unwrap()), ["01c", "01b"]);
    }

    async fn lists_show_spending_on_claude(world) {
        let store = &world.store;
        add(store, "01a", "acme/app", json!({"type": "push"}), "demo").await.unwrap().unwrap();
        add(store, "01b", "acme/app", json!({"type": "push"}), "demo").await.unwrap().unwrap();
        let scope = SpendScope {
            name: "01a".to_owned(),
            life: SpendLife::Run(RunId::new("01a")),
            unit: SpendUnit::Money,
            limit: None,
        };
        let call = NewCall {
            id: "c1".to_owned(),
            run: RunId::new("01a"),
            step: "a".into(),
            attempt: plue_plan::AttemptId::new("a1"),
            model: "m".to_owned(),
            amount: 7,
            tokens: 0,
            scopes: vec![scope],
            at: at(1),
        };
        store.claude().reserve_call(call).await.unwrap();
        let rows = store.run_lists().list(&all()).await.unwrap();
        let costs: Vec<_> = rows.iter().map(|row| row.spend.map(|spend| spend.cost)).collect();
        assert_eq!(costs, [None, Some(7)]);
    }
}
