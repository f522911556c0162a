//! Every page in four looks: nothing in the console, no report of the policy, no horizontal scrolling, no
//! serious finding of axe-core, and a picture.

use plue_testkit::scripted::Scripted;
use serde_json::json;

use crate::{browser::Browser, checks::LOOKS, site::Site};

/// Workflows with each state that a page can show.
pub(crate) const WORKFLOWS: &str = r#"
def workflow():
    return [
        Plan(name="CI", goal="Keep main releasable.", triggers=[
            Trigger.on_push(branch="main"),
            Trigger.on_pull_request(),
            Trigger.on_schedule("30 2 * * 1-5", tz="Europe/Berlin"),
            Trigger.on_manual(inputs={
                "target": Input(choices=["debug", "release"], default="debug", description="Profile of the build"),
                "jobs": Input(type="integer", default=4),
                "note": Input(),
            }),
        ], steps=[
            Step.bash("build", r"""
                echo '::group::Compile'
                for n in $(seq 1 40); do printf '\033[32m   Compiling\033[0m crate-%s v0.%s.1\n' $n $n; done
                echo '::endgroup::'
                printf '\033[1;33mwarning\033[0m: unused variable `x`\n'
                echo done
            """),
            Step.bash("test", "echo 'running 12 tests'; echo 'test result: ok'", depends_on=["build"]),
            Step.bash("lint", "echo clean"),
            Step.bash("publish", "echo published", depends_on=["test", "lint"]),
        ]),
        Plan(name="Broken", triggers=[Trigger.on_push(branch="main"), Trigger.on_manual()], steps=[
            Step.bash("compile", r"""
                echo 'checking the workspace'
                printf '\033[1;31merror[E0308]\033[0m: mismatched types\n  --> src/main.rs:4:18\n' >&2
                printf '\033[31merror\033[0m: could not compile `app`\n' >&2
                exit 101
            """),
            Step.bash("deploy", "echo never", depends_on=["compile"]),
        ]),
        Plan(name="Deploy", triggers=[Trigger.on_push(branch="main"), Trigger.on_manual()], steps=[
            Step.bash("build", "seq 1 12000"),
            Step.approval("release", message="Release to production?", depends_on=["build"], fields={
                "type": "object",
                "required": ["ticket"],
                "properties": {
                    "ticket": {"type": "string", "title": "Ticket", "description": "Of the change, as OPS-123"},
                    "window": {"enum": ["now", "tonight"], "default": "tonight"},
                    "announce": {"type": "boolean", "default": True, "title": "Announce it"},
                },
            }),
            Step.bash("ship", "echo shipped", depends_on=["release"]),
        ]),
        Plan(name="Matrix", triggers=[Trigger.on_push(branch="main")], on_failure="continue", steps=[
            Step.bash("prepare", "echo ready"),
            *[Step.bash(f"test-{n}", f"echo {n}; test {n} != 4", depends_on=["prepare"]) for n in range(8)],
            Step.bash("flaky", "test $PLUE_ATTEMPT -ge 2", depends_on=["prepare"],
                retry=Retry(max_attempts=3, delay="100ms")),
            Step.bash("loop", "test $PLUE_VISIT -ge 2", depends_on=["flaky"],
                on_failure=Goto("flaky", max_visits=3)),
            Step.bash("report", "echo all", depends_on=["loop"], name="Write the report"),
        ]),
        Plan(name="Ask", triggers=[Trigger.on_push(branch="main"), Trigger.on_manual()], steps=[
            Step.llm("review", prompt="Look at the change.\nIs it good?", tools=["bash"]),
        ]),
    ]
"#;

/// The runs that pages are about.
struct Made {
    green: String,
    matrix: String,
    failed: String,
    waiting: String,
    asked: String,
}

type PathOf = fn(&Site, &Made) -> String;

/// Every page: a name for its pictures, and its path. A new page is a line here.
const PAGES: &[(&str, PathOf)] = &[
    ("login", |_, _| "/login".to_owned()),
    ("runs", |_, _| "/runs".to_owned()),
    ("runs-failed", |_, _| "/runs?state=failed".to_owned()),
    ("runs-none", |_, _| "/runs?branch=none".to_owned()),
    ("run-timeline", |_, made| format!("/runs/{}?view=timeline", made.matrix)),
    ("run-step", |_, made| format!("/runs/{}?step=compile", made.failed)),
    ("run-matrix", |_, made| format!("/runs/{}", made.matrix)),
    ("run-opened", |_, made| format!("/runs/{}?open=test-1", made.matrix)),
    ("run-plan", |_, made| format!("/runs/{}/plan", made.green)),
    ("palette", |_, _| "/palette?q=c".to_owned()),
    ("run-passed", |_, made| format!("/runs/{}", made.green)),
    ("run-failed", |_, made| format!("/runs/{}", made.failed)),
    ("run-waiting", |_, made| format!("/runs/{}", made.waiting)),
    ("log", |site, made| site.log_page(&made.green, "build")),
    ("log-failed", |site, made| site.log_page(&made.failed, "compile")),
    ("log-large", |site, made| site.log_page(&made.waiting, "build")),
    ("log-line", |site, made| format!("{}#L5000-L5004", site.log_page(&made.waiting, "build"))),
    ("agent", |site, made| site.log_page(&made.asked, "review").replace("/log", "/agent")),
    ("agent-search", |site, made| {
        site.log_page(&made.asked, "review").replace("/log", "/agent?q=cargo")
    }),
    ("approvals", |_, _| "/approvals".to_owned()),
    ("workflows", |_, _| "/workflows".to_owned()),
    ("workflow", |_, _| "/workflows/acme%2Fapp/CI".to_owned()),
    ("workflow-claude", |_, _| "/workflows/acme%2Fapp/Ask".to_owned()),
    ("pulls", |_, _| "/pulls".to_owned()),
    ("runners", |_, _| "/runners".to_owned()),
    ("usage", |_, _| "/usage?by=workflow&days=7".to_owned()),
    ("schedules", |_, _| "/schedules".to_owned()),
    ("webhooks", |_, _| "/webhooks".to_owned()),
    ("secrets", |_, _| "/secrets".to_owned()),
    ("tokens", |_, _| "/tokens".to_owned()),
    ("audit", |_, _| "/audit".to_owned()),
    ("health", |_, _| "/health".to_owned()),
    ("help", |_, _| "/help".to_owned()),
    ("help-topic", |_, _| "/help/dashboard".to_owned()),
    ("no-page", |_, _| "/no/such/page".to_owned()),
];

async fn inspect(looks: [usize; 2]) {
    let claude = Scripted::new(&json!([
        {
            "thinking": "The change touches the parser; run its tests first.",
            "text": "I will look at the change and run the tests of the parser.",
            "tool_calls": [
                {"name": "bash", "input": {"command": "echo cargo test -p parser; seq 1 30"}, "id": "toolu_A"},
                {"name": "bash", "input": {"command": "cat missing.rs"}, "id": "toolu_B"},
            ],
        },
        { "text": "The change is good.\n\n- tests pass\n- see [the guide](https://example.com/guide)" },
    ]));
    let variables =
        [("ANTHROPIC_API_KEY", "sk-ant-canary"), ("ANTHROPIC_BASE_URL", claude.url.as_str())];
    let site = Site::with(&[(".plue.py", WORKFLOWS)], &variables);
    let made = Made {
        green: site.run_with("CI", "success"),
        matrix: site.run_with("Matrix", "failed"),
        failed: site.run_with("Broken", "failed"),
        waiting: site.run_with("Deploy", "waiting"),
        asked: site.run_with("Ask", "success"),
    };
    let browser = Browser::signed_in(&site).await;
    for look in looks.map(|at| LOOKS[at]) {
        for (name, path) in PAGES {
            let path = path(&site, &made);
            // An error page logs its own status.
            let is_problem = *name == "no-page";
            if is_problem {
                browser.open(&site, &path).await;
                let _own_status = browser.errors().await;
                continue;
            }
            browser.inspect(&site, name, &path, look).await;
        }
    }
}

#[tokio::test]
async fn every_page_is_sound_when_wide() {
    inspect([0, 1]).await;
}

#[tokio::test]
async fn every_page_is_sound_when_narrow() {
    inspect([2, 3]).await;
}
