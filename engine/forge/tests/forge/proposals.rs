//! Commits of patches, pushed to a repository on this machine, and their pull requests on a scripted forge.

use std::time::Duration;

use plue_forge::{
    Client, CommitId, GitError, Provider,
    feedback::{ClientOptions, PullRequestChange},
    git::{ChangedFile, Proposals},
};
use plue_runtime::Clock;
use serde_json::{Value as Json, json};

use crate::{
    fake::{Fake, Reply},
    git::Bench,
};

const EDIT: &str = "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n\
                    diff --git a/new/b.sh b/new/b.sh\nnew file mode 100755\n--- /dev/null\n\
                    +++ b/new/b.sh\n@@ -0,0 +1 @@\n+true\n";

async fn bench() -> (Bench, CommitId) {
    let bench = Bench::new().await;
    let base = bench.commit("a.txt", "one\n");
    bench.fetch().await;
    (bench, base)
}

fn file(path: &str, mode: &str) -> ChangedFile {
    ChangedFile { path: path.to_owned(), mode: mode.to_owned() }
}

#[tokio::test]
async fn patches_become_the_same_commit_again() {
    let (bench, base) = bench().await;
    let remote = bench.remote();
    let proposals = Proposals { mirror: &bench.mirror, remote: &remote };
    let mut seen = Vec::new();
    let check = |files: &[ChangedFile]| {
        seen = files.to_vec();
        Ok(())
    };
    let made = proposals.commit(&base, EDIT, "Two\n", check).await.unwrap().unwrap();
    assert_eq!(seen, [file("a.txt", "100644"), file("new/b.sh", "100755")]);
    let again = proposals.commit(&base, EDIT, "Two\n", |_| Ok(())).await.unwrap();
    assert_eq!(again.as_ref(), Some(&made));
    assert!(proposals.is_own(&made).await.unwrap() && !proposals.is_own(&base).await.unwrap());

    proposals.push("plue/x", None, &made).await.unwrap();
    assert_eq!(bench.git(&["show", "plue/x:a.txt"]), "two");
    assert_eq!(
        bench.git(&["log", "-1", "--format=%an %s %P", "plue/x"]),
        format!("plue Two {base}")
    );
    // Someone was faster.
    let other = proposals.commit(&base, EDIT, "Three\n", |_| Ok(())).await.unwrap().unwrap();
    assert!(proposals.push("plue/x", None, &other).await.is_err());
    proposals.push("plue/x", Some(&made), &other).await.unwrap();
    assert!(!bench.mirror.folder().join("plue-proposal.index").exists());
}

#[tokio::test]
async fn patches_that_cannot_be_are_refused() {
    let (bench, base) = bench().await;
    let remote = bench.remote();
    let proposals = Proposals { mirror: &bench.mirror, remote: &remote };
    let added = |path: &str| {
        format!(
            "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
        )
    };
    for patch in [
        "no patch\n".to_owned(),
        EDIT.replace("-one", "-three"),
        added("../x"),
        added(".git/hooks/post-commit"),
        added("/etc/x"),
        EDIT.replace("@@ -1 +1 @@", "@@ -1,999999999 +1 @@"),
    ] {
        let refused = proposals.commit(&base, &patch, "x", |_| Ok(())).await;
        assert!(matches!(refused, Err(GitError::BadPatch(_))), "{patch}: {refused:?}");
    }
    let refused = proposals.commit(&base, EDIT, "x", |_| Err("not this".to_owned())).await;
    assert!(matches!(&refused, Err(GitError::BadPatch(why)) if why == "not this"), "{refused:?}");
}

fn change() -> PullRequestChange {
    PullRequestChange {
        branch: "plue/x".to_owned(),
        base: "main".to_owned(),
        commit: "ab".repeat(20),
        title: "Two".to_owned(),
        text: "Why".to_owned(),
    }
}

fn client(provider: Provider, fake: &Fake) -> Client {
    let options = ClientOptions {
        attempts: 2,
        backoff: Duration::from_millis(1),
        allow_http: true,
        ..ClientOptions::default()
    };
    Client::new(provider, &fake.address("/api"), "t0ken", Clock::real(), options).unwrap()
}

/// A pull request as a forge lists it.
fn listed(provider: Provider, number: u64, state: &str, commit: &str) -> Json {
    match provider {
        Provider::GitLab => json!({ "iid": number, "state": state, "sha": commit }),
        _ => json!({
            "number": number, "state": state, "base": { "ref": "main" },
            "head": { "ref": "plue/x", "sha": commit },
        }),
    }
}

#[tokio::test]
async fn pull_requests_are_opened_once_and_updated() {
    for (provider, path, method, open, fields) in [
        (Provider::GitHub, "repos/o/r/pulls", "PATCH", "open", ("head", "base", "body")),
        (Provider::Gitea, "repos/o/r/pulls", "PATCH", "open", ("head", "base", "body")),
        (Provider::Forgejo, "repos/o/r/pulls", "PATCH", "open", ("head", "base", "body")),
        (
            Provider::GitLab,
            "projects/o%2Fr/merge_requests",
            "PUT",
            "opened",
            ("source_branch", "target_branch", "description"),
        ),
    ] {
        let mine = listed(provider, 9, open, "");
        let fake = Fake::start([
            Reply::ok(json!([])),
            Reply::ok(mine.clone()),
            Reply::ok(json!([mine.clone()])),
            Reply::ok(mine),
        ])
        .await;
        let client = client(provider, &fake);
        for _ in 0..2 {
            assert_eq!(client.put_pull_request("o/r", &change()).await.unwrap(), 9);
        }
        let seen = fake.seen();
        assert!(seen[0].line.starts_with(&format!("GET /api/{path}?state=all")), "{:?}", seen[0]);
        assert_eq!(seen[1].line, format!("POST /api/{path}"));
        let (head, base, text) = fields;
        let body = &seen[1].body;
        assert_eq!(
            (&body[head], &body[base], &body[text]),
            (&json!("plue/x"), &json!("main"), &json!("Why"))
        );
        assert_eq!(seen[3].line, format!("{method} /api/{path}/9"));
    }
}

#[tokio::test]
async fn closed_pull_requests_stay_closed() {
    let provider = Provider::GitHub;
    let closed = listed(provider, 4, "closed", &change().commit);
    let fake = Fake::start([Reply::ok(json!([closed]))]).await;
    let kept = client(provider, &fake).put_pull_request("o/r", &change()).await;
    assert_eq!((kept.unwrap(), fake.seen().len()), (4, 1));
    // With another commit it is another proposal.
    let old = listed(provider, 4, "closed", "cd");
    let fake =
        Fake::start([Reply::ok(json!([old])), Reply::ok(listed(provider, 5, "open", ""))]).await;
    assert_eq!(client(provider, &fake).put_pull_request("o/r", &change()).await.unwrap(), 5);
    // The answer to the opening is lost.
    let mine = listed(provider, 6, "open", "");
    let fake = Fake::start([
        Reply::ok(json!([])),
        Reply::cut(),
        Reply::ok(json!([mine.clone()])),
        Reply::ok(mine),
    ])
    .await;
    assert_eq!(client(provider, &fake).put_pull_request("o/r", &change()).await.unwrap(), 6);
}
