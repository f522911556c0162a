//! Several engines on one Postgres, killed, paused and started again.
//!
//! The number of runs is 60 in the normal tests. For a long run set it when the test is built:
//! `PLUE_ENGINES_RUNS=1000 cargo nextest run --workspace -E 'test(three_engines)'`.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use plue_flow::RunStatus;
use plue_plan::RunId;
use plue_runtime::Clock;
use plue_store::Tick;
use rustix::process::Signal;

use crate::{
    bench::until,
    fleet::{ENGINES, Fleet},
};

const WORKFLOW: &str = r#"
def workflow(ctx):
    keep = Retry(max_attempts=30, delay="0s", on=["infra"])
    return Plan(
        name="Chain",
        triggers=[Trigger.on_manual()],
        steps=[
            Step.bash("a", "echo x >> ran.a; for i in {1..40}; do echo a $i; done; sleep 0.02", retry=keep),
            Step.bash("b", "echo x >> ran.b; for i in {1..40}; do echo b $i; done", depends_on=["a"], retry=keep),
            Step.bash("c", "echo x >> ran.c; echo end", depends_on=["b"], retry=keep),
        ],
    )
"#;

const GATED: &str = r#"
def workflow(ctx):
    keep = Retry(max_attempts=30, delay="0s", on=["infra"])
    return Plan(
        name="Gated",
        triggers=[Trigger.on_manual()],
        steps=[
            Step.bash("gate", "touch up; until test -e go; do sleep 0.01; done; echo after", retry=keep),
            Step.bash("last", "echo last", depends_on=["gate"], retry=keep),
        ],
    )
"#;

const NIGHTLY: &str = r#"
def workflow(ctx):
    return Plan(
        name="Nightly",
        triggers=[Trigger.on_schedule("CRON", misfire="catch_up")],
        steps=[Step.bash("only", "echo tick")],
    )
"#;

const DEFAULT_RUNS: u64 = 60;
/// Engines killed while runs are asked for and done.
const KILLS: u64 = 15;
const LOOK: Duration = Duration::from_millis(20);

/// Numbers drawn by lot (xorshift64*); the same seed gives the same order of kills.
struct Lot(u64);

// === impl Lot ===

impl Lot {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    fn engine(&mut self) -> usize {
        usize::try_from(self.below(ENGINES as u64)).unwrap()
    }
}

/// A receiver of webhooks, with the ids of ended runs that it got.
#[derive(Clone)]
struct Receiver(Arc<Mutex<BTreeSet<String>>>);

// === impl Receiver ===

impl Receiver {
    /// The address, and what comes there.
    #[expect(clippy::disallowed_methods, reason = "it ends with the process of the test")]
    fn start() -> (String, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self(Arc::default());
        let here = receiver.clone();
        std::thread::spawn(move || {
            // A server that is killed amid a message sends it again.
            listener.incoming().for_each(|stream| drop(here.take(stream.unwrap())));
        });
        (url, receiver)
    }

    fn take(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut id, mut length, mut line) = (String::new(), 0, String::new());
        while reader.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.trim().to_ascii_lowercase().split_once(": ") {
                match name {
                    "webhook-id" => value.clone_into(&mut id),
                    "content-length" => length = value.parse().unwrap(),
                    _ => {}
                }
            }
            line.clear();
        }
        if line.is_empty() {
            // Its sender was killed amid the head.
            return Ok(());
        }
        reader.read_exact(&mut vec![0; length])?;
        self.0.lock().unwrap().insert(id);
        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        reader.get_mut().write_all(answer)
    }

    /// Waits until everything has come: a message for each of so many runs, `msg_RUN_PLACE`.
    async fn all(&self, runs: usize) -> BTreeSet<RunId> {
        while self.0.lock().unwrap().len() < runs {
            pause(50).await;
        }
        let ids = self.0.lock().unwrap();
        assert_eq!(ids.len(), runs, "one message for each end");
        ids.iter().map(|id| RunId::new(id.split('_').nth(1).unwrap())).collect()
    }
}

fn wanted() -> u64 {
    option_env!("PLUE_ENGINES_RUNS").map_or(DEFAULT_RUNS, |text| text.parse().unwrap())
}

async fn pause(milliseconds: u64) {
    Clock::real().sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test]
async fn three_engines_survive_kills_over_a_thousand_runs() {
    let wanted = wanted();
    let mut lot = Lot(0x9e37_79b9_7f4a_7c15);
    let mut fleet = Fleet::new(WORKFLOW, &["--lease", "2s", "--max-runs", "8"]);
    let (url, receiver) = Receiver::start();
    fleet.reporting_to(&url);
    fleet.start_all();
    let mut ids = BTreeSet::new();
    for n in 0..wanted {
        ids.insert(fleet.submit(&format!("key-{n}"), lot.engine()).await);
        if lot.below(wanted) < KILLS {
            let (killed, back) = (lot.engine(), lot.engine());
            fleet.kill(killed);
            fleet.start(back);
        }
        if n == wanted / 2 {
            fleet.postgres.stop();
            pause(lot.below(500)).await;
            fleet.postgres.start_again();
            fleet.start_all();
        }
    }
    for _ in 0..3 {
        pause(lot.below(300)).await;
        fleet.kill(lot.engine());
    }
    fleet.start_all();
    while fleet.open_runs().await > 0 {
        pause(100).await;
    }
    // The receiver still listens: the next claimant sends the messages of a killed engine.
    assert_eq!(receiver.all(ids.len()).await, ids);
    let runs = fleet.ends_well().await;
    assert_eq!(runs.len() as u64, wanted, "each request made one run");
    assert_eq!(runs.into_iter().map(|row| row.id).collect::<BTreeSet<RunId>>(), ids);
    let store = fleet.store().await;
    for run in &ids {
        let attempts = store.attempts().list(run, None).await.unwrap();
        for step in ["a", "b", "c"] {
            let made: Vec<_> = attempts.iter().filter(|row| row.step.as_str() == step).collect();
            let file = fleet.bench.state().join(format!("workspaces/{run}/ran.{step}"));
            let ran = std::fs::read_to_string(file).unwrap().lines().count();
            assert!((1..=made.len()).contains(&ran), "{run} {step}: ran {ran} times: {made:#?}");
        }
    }
    store.close().await;
}

/// An engine that stands still for longer than its lease: another one goes on with its run, and the
/// first writes nothing when it wakes up.
#[tokio::test]
async fn failure_case_46_stopped_engines_write_nothing_after_return() {
    let mut fleet = Fleet::new(GATED, &["--lease", "20s"]);
    fleet.start(0);
    let run = fleet.submit("one", 0).await;
    let workspace = fleet.bench.state().join(format!("workspaces/{run}"));
    while !workspace.join("up").exists() {
        Clock::real().sleep(LOOK).await;
    }
    let store = fleet.store().await;
    let first = store.drives().driver_of(&run).await.unwrap().unwrap();
    fleet.signal(0, Signal::STOP);
    fleet.start(1);
    // It takes the run over, with the runner or with a new attempt.
    let taken_over =
        |driver: &Option<String>| driver.as_ref().is_some_and(|driver| *driver != first);
    while !taken_over(&store.drives().driver_of(&run).await.unwrap()) {
        Clock::real().sleep(LOOK).await;
    }
    std::fs::write(workspace.join("go"), "").unwrap();
    while store.runs().get(&run).await.unwrap().unwrap().view.status != RunStatus::Success
        || store.drives().driver_of(&run).await.unwrap().is_some()
    {
        Clock::real().sleep(LOOK).await;
    }
    let before = store.runs().load(&run).await.unwrap().unwrap();
    fleet.signal(0, Signal::CONT);
    // It has found out, and is an engine again, under another name.
    let pid = fleet.pid(0);
    loop {
        let engines = store.engines().list().await.unwrap();
        if engines.iter().any(|row| row.pid == pid && row.id != first) {
            break;
        }
        Clock::real().sleep(LOOK).await;
    }
    let after = store.runs().load(&run).await.unwrap().unwrap();
    assert_eq!((before.run, before.journal), (after.run, after.journal));
    store.close().await;
    assert_eq!(fleet.ends_well().await.len(), 1);
}

/// A daily schedule whose next tick is twelve hours away: none falls into the test.
fn far_from(now: jiff::Timestamp) -> String {
    let hour = now.to_zoned(jiff::tz::TimeZone::UTC).hour();
    format!("0 {} * * *", (hour + 12) % 24)
}

/// Three engines that follow the same schedule make one run for each tick.
#[tokio::test]
async fn three_engines_create_one_run_per_tick() {
    let now = Clock::real().now();
    let cron = far_from(now);
    let mut fleet = Fleet::new(&NIGHTLY.replace("CRON", &cron), &["--lease", "2s"]);
    let store = fleet.store().await;
    let due_at = now.checked_sub(jiff::SignedDuration::from_hours(24 * 4)).unwrap();
    let tick = Tick {
        repo: "acme/app".to_owned(),
        file: ".plue.py".to_owned(),
        workflow: "Nightly".to_owned(),
        cron,
        tz: "UTC".to_owned(),
        due_at,
    };
    // As if all engines had been away for four days.
    store.repos().take_tick(tick, now).await.unwrap();
    fleet.start_all();
    while fleet.runs().await.len() < 4 || fleet.open_runs().await > 0 {
        Clock::real().sleep(LOOK).await;
    }
    let runs = fleet.ends_well().await;
    let mut ticks = BTreeSet::new();
    for run in &runs {
        let event = store.outputs().source_of_run(&run.id).await.unwrap().unwrap().event;
        ticks.insert(event["schedule"]["scheduled_at"].as_str().unwrap().to_owned());
    }
    assert_eq!((runs.len(), ticks.len()), (4, 4), "{ticks:?}");
    store.close().await;
}

/// The first signal leaves a run to another engine between two of its steps.
#[tokio::test]
async fn failure_case_15_draining_engines_hand_runs_over() {
    let mut fleet = Fleet::new(GATED, &["--lease", "2s"]);
    fleet.start(0);
    let run = fleet.submit("one", 0).await;
    let workspace = fleet.bench.state().join(format!("workspaces/{run}"));
    while !workspace.join("up").exists() {
        Clock::real().sleep(LOOK).await;
    }
    let store = fleet.store().await;
    let first = store.drives().driver_of(&run).await.unwrap();
    fleet.start(1);
    fleet.signal(0, Signal::TERM);
    // Its runner must not be given the second step.
    until(|| fleet.drains(0)).await;
    std::fs::write(workspace.join("go"), "").unwrap();
    while store.runs().get(&run).await.unwrap().unwrap().view.status != RunStatus::Success {
        Clock::real().sleep(LOOK).await;
    }
    let attempts = store.attempts().list(&run, None).await.unwrap();
    assert_eq!(attempts.len(), 2, "{attempts:#?}");
    assert_ne!(attempts[0].runner, attempts[1].runner, "the second step ran elsewhere");
    assert!(first.is_some());
    store.close().await;
    fleet.ends_well().await;
}
