//! One evaluator over its socket: what it answers, what ends its children, what ends itself.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the functions that the tests share are not seen as tests"
)]

use crate::harness::{Evaluator, SEED, samples};
use plue_wire::eval::{
    EvalOutcome, EvalReply, FAIR_CPU_MS, Killed, LayerState, MAX_STARVED_MS, MAX_WALL_MS, PROTOCOL,
};
use rustix::process::{Pid, Signal, kill_process};

/// A loop that the CPU limit ends, if nothing else does before.
const SPIN: &str = "def workflow():\n    while True:\n        pass\n";
/// Longest a file may take, in microseconds; the deadline itself may be passed by a little.
const LONGEST_US: u64 = MAX_WALL_MS * 1_000 + 500_000;

fn killed(reply: EvalReply) -> Killed {
    match reply.outcome {
        EvalOutcome::Killed(killed) => killed,
        EvalOutcome::Plans(_)
        | EvalOutcome::Needs(_)
        | EvalOutcome::Failed { .. }
        | EvalOutcome::Surveyed { .. } => panic!("not killed"),
    }
}

fn signal_child(evaluator: &Evaluator, signal: Signal) {
    kill_process(Pid::from_raw(evaluator.child_pid()).unwrap(), signal).unwrap();
}

#[test]
fn the_hello_names_every_layer_and_all_are_on() {
    let evaluator = Evaluator::start(&[]);
    let hello = evaluator.hello();
    assert_eq!(hello.protocol, PROTOCOL);
    assert!(hello.build.starts_with("3.11."), "{}", hello.build);
    assert_eq!(hello.layers.len(), 12);
    for layer in &hello.layers {
        assert!(matches!(layer.state, LayerState::On(_)), "{layer:?}");
    }
}

#[test]
fn the_seed_example_gives_the_same_plan_in_both_interpreters() {
    let mut replies = ["A", "B"].map(|seed| {
        let mut evaluator = Evaluator::start(&["--hash-seed", seed]);
        evaluator.evaluate(SEED).outcome
    });
    let EvalOutcome::Plans(plans) = &replies[0] else { panic!("{replies:?}") };
    assert!(plans[0].plan_json.contains("CI Pipeline"), "{plans:?}");
    replies.reverse();
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn the_order_of_a_set_of_functions_is_stable_in_one_interpreter_and_other_in_the_other() {
    let source = "def make(i):\n    def f():\n        return str(i)\n    return f\n\n\
        def workflow():\n    name = '-'.join(f() for f in {make(i) for i in range(12)})\n    \
        return Plan(name=name, triggers=[], steps=[Step.bash('a', 'true')])\n";
    let mut a = Evaluator::start(&["--hash-seed", "A"]);
    let mut again = Evaluator::start(&["--hash-seed", "A"]);
    let mut b = Evaluator::start(&["--hash-seed", "B"]);
    let first = a.evaluate(source).outcome;
    assert!(matches!(first, EvalOutcome::Plans(_)), "{first:?}");
    a.assert_healthy();
    assert_eq!(a.evaluate(source).outcome, first);
    assert_eq!(again.evaluate(source).outcome, first);
    assert_ne!(b.evaluate(source).outcome, first);
}

#[test]
fn two_hundred_files_in_a_row_give_two_hundred_plans() {
    let mut evaluator = Evaluator::start(&[]);
    for number in 0..200 {
        let source = SEED.replace("CI Pipeline", &format!("CI {number}"));
        let EvalOutcome::Plans(plans) = evaluator.evaluate(source).outcome else { panic!() };
        assert!(plans[0].plan_json.contains(&format!("CI {number}")));
    }
}

#[test]
fn requests_may_be_sent_before_the_replies_are_read() {
    let mut evaluator = Evaluator::start(&[]);
    evaluator.send(SEED);
    evaluator.send(SEED);
    assert_eq!([evaluator.receive_next().id, evaluator.receive_next().id], [1, 2]);
    evaluator.assert_healthy();
}

#[test]
fn a_loop_is_ended_for_its_cpu_time() {
    let mut evaluator = Evaluator::start(&[]);
    let reply = evaluator.assert_time_runs_out(SPIN);
    assert!(reply.usage.cpu_us < 1_400_000, "{:?}", reply.usage);
    evaluator.assert_healthy();
}

#[test]
fn a_memory_bomb_is_ended_for_its_memory() {
    let mut evaluator = Evaluator::start(&[]);
    let bomb = "def workflow():\n    a = ['x' * 1000000]\n    while True:\n        a.append('x' * len(a) * 1000000)\n";
    assert_eq!(killed(evaluator.evaluate(bomb)), Killed::Memory);
    evaluator.assert_healthy();
}

/// Spins until the child has used this much.
fn wait_for_cpu(evaluator: &Evaluator, micros: u64) {
    while plue_evaluator::kernel::cpu_us_of(evaluator.child_pid()).unwrap() < micros {
        std::thread::yield_now();
    }
}

#[test]
fn a_child_that_had_its_share_of_the_cpu_is_ended_at_the_deadline() {
    let mut evaluator = Evaluator::start(&[]);
    evaluator.send(SPIN);
    evaluator.wait_for_locked_child();
    wait_for_cpu(&evaluator, FAIR_CPU_MS * 1_000);
    signal_child(&evaluator, Signal::STOP);
    let reply = evaluator.receive();
    assert!((MAX_WALL_MS * 1_000..LONGEST_US).contains(&reply.usage.wall_us), "{:?}", reply.usage);
    assert_eq!(killed(reply), Killed::Wall);
    evaluator.assert_healthy();
}

#[test]
fn a_child_that_does_not_get_the_cpu_is_given_more_time_but_not_for_ever() {
    let mut evaluator = Evaluator::start(&[]);
    evaluator.send(SPIN);
    evaluator.wait_for_locked_child();
    signal_child(&evaluator, Signal::STOP);
    let reply = evaluator.receive();
    assert!(reply.usage.wall_us >= MAX_STARVED_MS * 1_000, "{:?}", reply.usage);
    assert_eq!(killed(reply), Killed::Wall);
    evaluator.assert_healthy();
}

#[test]
fn a_child_that_crashes_or_is_killed_from_outside_is_reported_as_that() {
    let mut evaluator = Evaluator::start(&[]);
    for (signal, word) in [
        (Signal::SEGV, "SIGSEGV"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::ILL, "SIGILL"),
        (Signal::KILL, "SIGKILL"),
    ] {
        evaluator.send(SPIN);
        evaluator.wait_for_locked_child();
        signal_child(&evaluator, signal);
        let killed = killed(evaluator.receive());
        assert!(matches!(&killed, Killed::Crashed(text) if text.contains(word)), "{killed:?}");
        evaluator.assert_healthy();
    }
}

#[test]
fn the_hostile_corpus_ends_as_its_headers_say() {
    let mut evaluator = Evaluator::start(&[]);
    let mut second = Evaluator::start(&["--hash-seed", "B"]);
    let mut wrong = Vec::new();
    for sample in samples("hostile") {
        let reply = evaluator.evaluate(&sample.source);
        // A starved child proves nothing about the file.
        let starved = reply.usage.cpu_us * 4 < reply.usage.wall_us;
        if reply.usage.wall_us > LONGEST_US && !starved || reply.usage.cpu_us > 1_400_000 {
            wrong.push(format!("{}: took {:?}", sample.name, reply.usage));
        }
        // A plan that differs between the two interpreters is an error of the engine's making.
        let accepted = sample.accepts(&reply.outcome)
            || (sample.expected.iter().any(|word| word == "error")
                && matches!(reply.outcome, EvalOutcome::Plans(_))
                && second.evaluate(&sample.source).outcome != reply.outcome);
        if !accepted {
            wrong.push(format!("{}: {:?}, not {:?}", sample.name, reply.outcome, sample.expected));
        }
        evaluator.assert_healthy();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_benign_corpus_gives_equal_plans_in_both_interpreters() {
    let mut one = Evaluator::start(&[]);
    let mut other = Evaluator::start(&["--hash-seed", "B"]);
    for sample in samples("benign") {
        let reply = one.evaluate(&sample.source);
        assert!(sample.accepts(&reply.outcome), "{}: {reply:?}", sample.name);
        assert_eq!(other.evaluate(&sample.source).outcome, reply.outcome, "{}", sample.name);
    }
}

#[test]
fn the_end_of_the_socket_is_the_end_of_the_evaluator() {
    let evaluator = Evaluator::start(&[]);
    assert_eq!(evaluator.close().code(), Some(0));
}

#[test]
fn the_end_of_the_socket_in_the_middle_of_an_evaluation_ends_the_child_too() {
    let mut evaluator = Evaluator::start(&[]);
    evaluator.send(SPIN);
    let child = Pid::from_raw(evaluator.child_pid()).unwrap();
    assert_eq!(evaluator.close().code(), Some(0));
    // It was reaped before the evaluator ended.
    assert!(rustix::process::test_kill_process(child).is_err());
}

#[test]
fn bytes_that_are_no_request_end_the_evaluator() {
    let mut evaluator = Evaluator::start(&[]);
    evaluator.send_bytes(&[3, 0, 0, 0, 0xff, 0xff, 0xff]);
    assert!(evaluator.has_ended());
    assert_eq!(evaluator.wait().code(), Some(plue_evaluator::exit::PROTOCOL));
}

#[test]
fn an_announced_length_over_the_limit_is_not_believed() {
    let mut evaluator = Evaluator::start(&[]);
    evaluator.send_bytes(&u32::MAX.to_le_bytes());
    assert!(evaluator.has_ended());
    assert_eq!(evaluator.wait().code(), Some(plue_evaluator::exit::PROTOCOL));
}

#[test]
fn an_unknown_option_is_refused() {
    let status = Evaluator::command().arg("--allow-weak").status().unwrap();
    assert_eq!(status.code(), Some(plue_evaluator::exit::USAGE));
}
