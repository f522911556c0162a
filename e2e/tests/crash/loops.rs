//! `kill -9` at instants drawn by lot, again and again, over a plan of fifty steps.
//!
//! The number of rounds is 20 in the normal tests. For a long run set it when the test is built:
//! `PLUE_CRASH_ROUNDS=200 cargo nextest run --workspace -E 'test(failure_case_50_kills)'`.

use std::time::Duration;

use plue_flow::RunStatus;
use plue_runtime::Clock;

use crate::bench::{Bench, Logs, kill};

/// Fifty steps in a net; each records that it ran, and prints the same at each run.
const FIFTY: &str = r#"
def workflow():
    keep = Retry(max_attempts=30, delay="0s", on=["infra"])
    steps = []
    for n in range(50):
        name = f"s{n:02}"
        needs = [f"s{m:02}" for m in (n - 5, n - 7) if m >= 0]
        if n % 10 == 9:
            code = f"open('ran.{name}', 'a').write('x\\n')\nfor i in range(40): print('{name}', i)"
            steps.append(Step.python(name, code, depends_on=needs, retry=keep))
        else:
            run = f"echo x >> ran.{name}; for i in {{1..40}}; do echo {name} $i; done; sleep 0.02; echo end >&2"
            steps.append(Step.bash(name, run, depends_on=needs, retry=keep))
    return Plan(name="Fifty", max_parallel=6, steps=steps)
"#;

/// Twelve agents with scripted answers: one plans, six work at the same time, five come one after the
/// other. Each prints its input, which grows from agent to agent: a handoff that is lost changes
/// every log behind it.
const TWELVE: &str = r#"
def workflow():
    keep = Retry(max_attempts=30, delay="0s", on=["infra"])
    before = {"planner": []}
    before |= {f"coder{n}": ["planner"] for n in range(6)}
    before["integrator"] = [f"coder{n}" for n in range(6)]
    for name, last in [("checker", "integrator"), ("tester", "checker"), ("writer", "tester"), ("deployer", "writer")]:
        before[name] = [last]
    work = 'echo "got $GOT"; sleep 0.05; printf \'{"says": "%s(%s)"}\' "$PLUE_STEP_ID" "$GOT" > "$PLUE_OUTPUT"'
    steps = []
    for name, parents in before.items():
        got = {f"G{at}": ref(parent, "says") for at, parent in enumerate(parents)}
        join = "GOT=" + "+".join(f"${{G{at}}}" for at in range(len(parents))) + "\n"
        steps.append(Step.bash(name, join + work, env=got, depends_on=parents, retry=keep))
    return Plan(name="Twelve", steps=steps)
"#;

const DEFAULT_ROUNDS: u32 = 20;
/// Kills of one run before it is left in peace.
const MAX_KILLS: u32 = 4;
/// A run takes about a second; later kills would hit nothing.
const LONGEST_MS: u64 = 1_200;

/// Numbers drawn by lot (xorshift64*); the same seed gives the same instants.
struct Lot(u64);

/// The process to kill.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Engine,
    Runner,
    Both,
    All,
}

// === impl Lot ===

impl Lot {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    fn victim(&mut self) -> Victim {
        [Victim::Engine, Victim::Runner, Victim::Both, Victim::All]
            [usize::try_from(self.below(4)).unwrap()]
    }
}

/// Drives a run to its end, killing on the way; returns the victims.
async fn disturb(bench: &Bench, lot: &mut Lot, only: Option<Victim>) -> Vec<Victim> {
    let mut killed = Vec::new();
    loop {
        // The same command again while there is no run, resume once there is.
        let exists = !bench.runs().await.is_empty();
        let command: &[&str] = if exists { &["resume"] } else { &["run"] };
        let mut engine = bench.start(command);
        if killed.len() >= MAX_KILLS as usize {
            let code = engine.wait().unwrap().code();
            assert_eq!(code, Some(0), "after {killed:?}");
            return killed;
        }
        Clock::real().sleep(Duration::from_millis(lot.below(LONGEST_MS))).await;
        let victim = only.unwrap_or_else(|| lot.victim());
        if engine.try_wait().unwrap().is_some() {
            killed.push(victim);
            continue;
        }
        match victim {
            Victim::Engine => kill(&mut engine),
            Victim::Runner => bench.kill_runners().await,
            Victim::Both => {
                kill(&mut engine);
                bench.kill_runners().await;
            }
            Victim::All => {
                kill(&mut engine);
                bench.kill_all().await;
            }
        }
        killed.push(victim);
        if victim == Victim::Runner {
            let code = engine.wait().unwrap().code();
            assert_eq!(code, Some(0), "after {killed:?}");
        }
    }
}

async fn undisturbed(source: &str, steps: usize) -> Logs {
    let bench = Bench::new(source);
    bench.plue(&["run"]).ends(0);
    bench.nothing_is_left().await;
    let run = bench.run().await;
    let logs = bench.logs(&run).await;
    assert_eq!(logs.len(), steps);
    logs
}

fn rounds() -> u32 {
    option_env!("PLUE_CRASH_ROUNDS").map_or(DEFAULT_ROUNDS, |text| text.parse().unwrap())
}

async fn check(bench: &Bench, expected: &Logs, round: u32, killed: &[Victim]) {
    let runs = bench.runs().await;
    assert_eq!(runs.len(), 1, "round {round}, {killed:?}");
    assert_eq!(bench.status(&runs[0]).await, RunStatus::Success, "round {round}, {killed:?}");
    let logs = bench.logs(&runs[0]).await;
    for (step, log) in expected {
        assert!(
            logs.get(step) == Some(log),
            "round {round}, {killed:?}: {step}: {:?}",
            logs.get(step)
        );
    }
    // A kill between the end of the run and the last clean-up leaves files for the next command.
    bench.plue(&["retry", runs[0].as_str()]);
    bench.nothing_is_left().await;
}

#[tokio::test]
async fn failure_case_50_kills_never_change_the_end_of_runs() {
    let expected = undisturbed(FIFTY, 50).await;
    let mut lot = Lot(0x9e37_79b9_7f4a_7c15);
    for round in 1..=rounds() {
        let bench = Bench::new(FIFTY);
        let killed = disturb(&bench, &mut lot, None).await;
        check(&bench, &expected, round, &killed).await;
        println!("round {round}: {killed:?}");
    }
}

#[tokio::test]
async fn row_2_26_kills_lose_no_handoff_of_twelve_agents() {
    let expected = undisturbed(TWELVE, 12).await;
    let all = "planner()";
    let coders: Vec<_> = (0..6).map(|n| format!("coder{n}({all})")).collect();
    let handed = format!("got writer(tester(checker(integrator({}))))\n", coders.join("+"));
    assert_eq!(String::from_utf8_lossy(&expected["deployer"]["Stdout"]), handed);
    let mut lot = Lot(0xdead_beef_cafe_f00d);
    for round in 1..=rounds() / 2 {
        let bench = Bench::new(TWELVE);
        let killed = disturb(&bench, &mut lot, None).await;
        check(&bench, &expected, round, &killed).await;
        println!("round {round}: {killed:?}");
    }
}

#[tokio::test]
async fn failure_case_14_kills_of_the_engine_alone_cost_no_attempt() {
    let expected = undisturbed(FIFTY, 50).await;
    let mut lot = Lot(0x0123_4567_89ab_cdef);
    for round in 1..=rounds() / 2 {
        let bench = Bench::new(FIFTY);
        let killed = disturb(&bench, &mut lot, Some(Victim::Engine)).await;
        check(&bench, &expected, round, &killed).await;
        let run = bench.run().await;
        let attempts = bench.store().await.attempts().list(&run, None).await.unwrap();
        for step in expected.keys() {
            let made: Vec<_> = attempts.iter().filter(|row| row.step.as_str() == step).collect();
            let ran = bench.lines(&format!("ran.{step}"));
            assert_eq!(ran, 1, "round {round}: {step}: {made:#?}");
        }
        assert_eq!(attempts.len(), 50);
        println!("round {round}: {killed:?}");
    }
}
