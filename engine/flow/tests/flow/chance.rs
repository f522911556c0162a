//! Runs at random: a plan, and a stream of numbers that chooses what happens next. Used by the
//! property tests and by the coverage of the transition tables.

use std::fmt::Write as _;

use jiff::SignedDuration;
use plue_flow::{AttemptStatus, Awaited, Effect, Input, RunStatus, fact::Outcome, input::Reopen};
use plue_plan::{AttemptId, RunnerId, StepId};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value as Json, json};

use crate::player::{Player, asked, call, cancel, decision, exit, plan};

/// Random steps, a few fields of the plan, and choices.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) steps: Vec<Json>,
    pub(crate) more: Json,
    pub(crate) choices: Vec<u8>,
}

/// Features of generated plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Features {
    /// Features that the naive reference supports.
    Plain,
    /// Loops and hooks too.
    All,
}

const RULES: [&str; 4] = ["fail", "fail", "skip", "continue"];

pub(crate) fn case(features: Features) -> impl Strategy<Value = Case> {
    let steps = vec((any::<u16>(), any::<[u8; 4]>()), 0..9);
    let plan = any::<[u8; 4]>();
    (steps, plan, vec(any::<u8>(), 0..120)).prop_map(move |(raw, bits, choices)| {
        let steps = raw.iter().enumerate();
        let steps = steps.map(|(at, (above, bits))| step(at, *above, *bits, features));
        Case { steps: steps.collect(), more: more(bits, features), choices }
    })
}

fn step(at: usize, above: u16, [rule, retry, when, back]: [u8; 4], features: Features) -> Json {
    let ids: Vec<usize> = (0..at).filter(|n| above >> (n % 16) & 1 == 1).collect();
    let ids: Vec<String> = ids.iter().map(|n| format!("s{n}")).collect();
    let mut step = json!({"id": format!("s{at}"), "depends_on": ids});
    step["on_failure"] = json!(RULES[usize::from(rule % 4)]);
    match retry % 4 {
        0 => step["retry"] = json!({"max_attempts": 2, "delay": "0s"}),
        1 => step["retry"] = json!({"delay": "10s", "backoff": "exponential", "on": ["exit:1"]}),
        _ => {}
    }
    if when % 3 == 0 {
        step["when"] = json!("x");
    }
    if features == Features::All && back % 3 == 0 {
        let target = ids.get(usize::from(rule / 4) % (ids.len() + 1));
        let target = target.cloned().unwrap_or(format!("s{at}"));
        let field = if back % 2 == 0 { "on_failure" } else { "on_success" };
        step[field] = json!({"goto": target, "max_visits": back % 4 + 1});
    }
    step
}

fn more([parallel, rule, hooks, required]: [u8; 4], features: Features) -> Json {
    let rule = ["stop", "continue"][usize::from(rule % 2)];
    let mut more = json!({"on_failure": rule});
    if parallel % 4 > 0 {
        more["max_parallel"] = json!(parallel % 4);
    }
    if features == Features::All {
        more["tags"] = json!(["waits"]);
    }
    if features == Features::All && parallel % 3 == 0 {
        more["outputs"] = json!({"o": 1});
    }
    if features == Features::All {
        for (bit, name) in
            ["on_start", "on_success", "on_failure", "on_complete"].iter().enumerate()
        {
            if hooks >> bit & 1 == 1 {
                let required = required >> bit & 1 == 1;
                more["hooks"][name] = json!([
                    {"id": format!("{name}1"), "required": required, "retry": {"delay": "1m"}},
                    {"id": format!("{name}2"), "depends_on": [format!("{name}1")], "when": "x"},
                ]);
            }
        }
    }
    more
}

/// Draws numbers; when they are used up, always 0, which chooses what leads to an end.
pub(crate) struct Dice<'c>(std::slice::Iter<'c, u8>);

impl Dice<'_> {
    pub(crate) fn of(choices: &[u8]) -> Dice<'_> {
        Dice(choices.iter())
    }

    pub(crate) fn draw(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    pub(crate) fn pick<'t, T>(&mut self, list: &'t [T]) -> Option<&'t T> {
        list.get(usize::from(self.draw()) % list.len().max(1))
    }

    /// Random result of work inside the engine.
    pub(crate) fn outcome_of_engine(&mut self) -> Outcome {
        match self.draw() % 4 {
            0 => Outcome::Success,
            1 => Outcome::Failed { message: "HTTP 503".to_owned() },
            2 => Outcome::TimedOut,
            _ => Outcome::Rejected { message: "no".to_owned() },
        }
    }

    /// Random result of a started attempt.
    pub(crate) fn outcome(&mut self) -> Outcome {
        match self.draw() % 8 {
            0..=2 => Outcome::Success,
            3 | 4 => exit(1),
            5 => exit(2),
            6 => Outcome::TimedOut,
            _ => Outcome::Infra { message: "gone".to_owned() },
        }
    }
}

/// Plays the case to its end; `watch` is called after every input that was taken.
pub(crate) fn play(case: &Case, watch: &mut dyn FnMut(&Player)) -> Player {
    let plan = plan(json!(case.steps), case.more.clone());
    let mut dice = Dice::of(&case.choices);
    let only: &[&str] = match dice.draw() {
        200.. if case.steps.len() > 1 => &["s1"],
        _ => &[],
    };
    let mut player = Player::create(plan, only);
    let mut trace = String::new();
    for round in 0.. {
        assert!(round < 5_000, "it never ends: {trace}");
        pass_time(&mut player, &mut dice);
        let Some(input) = next(&player, &mut dice) else {
            return player;
        };
        writeln!(trace, "{input:?}").unwrap();
        let again = input.clone();
        match player.try_feed(input) {
            Ok(_) => watch(&player),
            Err(refusal) => panic!("{refusal}\n{trace}"),
        }
        repeat(&mut player, again, &trace);
    }
    unreachable!("rounds are bounded above");
}

/// A repeated input is refused, or leaves the run as it was (a tick; a second report of the same
/// loss). Only cancelling twice means something else, and a reopened run may have ended again.
fn repeat(player: &mut Player, again: Input, trace: &str) {
    if matches!(again, Input::Cancel { .. } | Input::Reopen { .. }) {
        return;
    }
    let before = player.run.clone();
    if player.try_feed(again).is_ok() {
        assert_eq!(player.run, before, "{trace}");
    }
}

fn next(player: &Player, dice: &mut Dice<'_>) -> Option<Input> {
    if player.run.status() == RunStatus::Queued {
        return Some(match dice.draw() {
            250.. => cancel(false),
            _ => Input::Start,
        });
    }
    if player.run.is_finished() {
        let from = match dice.draw() % 8 {
            5 => Reopen::All,
            6 => Reopen::From(StepId::new("s0")),
            7 => Reopen::Failed,
            _ => return None,
        };
        let by = "eve".to_owned();
        let input = Input::Reopen { by, from };
        return player.run.decide(player.now, &input).is_ok().then_some(input);
    }
    match dice.draw() {
        250.. => {
            let input = cancel(dice.draw() > 200);
            let fits = player.run.decide(player.now, &input).is_ok();
            return Some(if fits { input } else { Input::Tick });
        }
        240.. => return Some(Input::Tick),
        _ => {}
    }
    let open: Vec<Effect> = player.open.clone();
    match dice.pick(&open) {
        Some(effect) if dice.draw() < 200 => Some(react(player, effect, dice)),
        Some(_) | None => Some(reply(player, dice)),
    }
}

fn react(player: &Player, effect: &Effect, dice: &mut Dice<'_>) -> Input {
    match effect {
        Effect::EvaluateCondition { step, visit } => Input::Condition {
            step: step.clone(),
            visit: *visit,
            value: match dice.draw() % 8 {
                6 => Ok(false),
                7 => Err("bad".to_owned()),
                _ => Ok(true),
            },
            reads: Vec::new(),
        },
        Effect::Perform { attempt, .. } => work(player, attempt, dice),
        Effect::Stop { attempt, .. } => match dice.draw() % 4 {
            3 => work(player, attempt, dice),
            _ => end(attempt, Outcome::Cancelled),
        },
        Effect::EvaluateOutputs => Input::Outputs {
            value: match dice.draw() % 4 {
                3 => Err("no value".to_owned()),
                _ => Ok(json!({"o": 1})),
            },
        },
        Effect::Finish => Input::Tick,
    }
}

/// Answers what is waited for; a tick if nothing is.
fn reply(player: &Player, dice: &mut Dice<'_>) -> Input {
    let waiting: Vec<_> = player.run.waiting().collect();
    let Some(waiting) = dice.pick(&waiting) else { return Input::Tick };
    let attempt = waiting.attempt.clone();
    match waiting.what {
        Awaited::Time => Input::Tick,
        Awaited::Decision { .. } => {
            let names = ["ann", "bob", "eve"];
            let approve = dice.draw() % 4 < 3;
            let mut inputs = names.map(|by| Input::Decide {
                attempt: attempt.clone(),
                decision: decision(by, approve),
            });
            let now = player.now;
            inputs.rotate_left(usize::from(dice.draw() % 3));
            let fits = inputs.into_iter().find(|input| player.run.decide(now, input).is_ok());
            fits.unwrap_or(Input::Tick)
        }
        Awaited::Call(_) => asks(player, &attempt, dice),
        Awaited::Event { .. } | Awaited::Workflow { .. } | Awaited::Callback => Input::Answer {
            attempt,
            event: Some(waiting.taken + 1),
            outcome: dice.outcome_of_engine(),
            output: json!("answer"),
        },
    }
}

/// True if attempts of the case may wait for the outside, which the naive reference does not
/// support.
fn waits(player: &Player) -> bool {
    player.run.plan().tags == ["waits"]
}

fn wait(player: &Player, attempt: &AttemptId, dice: &mut Dice<'_>) -> Input {
    let what = match dice.draw() % 5 {
        0 => Awaited::Time,
        1 => asked(2),
        2 => asked(1),
        3 => Awaited::Callback,
        _ => Awaited::Event { topic: "t".to_owned(), when: None },
    };
    let minutes = i64::from(dice.draw() % 90);
    let until =
        (what.is_time() || minutes > 20).then(|| player.now + SignedDuration::from_mins(minutes));
    Input::Waits { attempt: attempt.clone(), what, until, name: None }
}

/// An agent asks for one of its calls, for two, or withdraws them.
fn asks(player: &Player, attempt: &AttemptId, dice: &mut Dice<'_>) -> Input {
    let calls = ["a", "b"].into_iter().take(usize::from(dice.draw() % 3)).map(call).collect();
    let is_busy = dice.draw() % 4 == 3;
    let input = Input::AsksCalls { attempt: attempt.clone(), calls, is_busy };
    let fits = player.run.decide(player.now, &input).is_ok();
    if fits { input } else { end(attempt, dice.outcome()) }
}

fn work(player: &Player, attempt: &AttemptId, dice: &mut Dice<'_>) -> Input {
    let status = player.run.attempt(attempt).unwrap().status;
    match (status, dice.draw() % 16) {
        (AttemptStatus::Queued | AttemptStatus::Running, 12 | 13) if waits(player) => {
            wait(player, attempt, dice)
        }
        (AttemptStatus::Running, 10 | 11) if waits(player) => asks(player, attempt, dice),
        (_, 15) => Input::Lost { attempt: attempt.clone(), reason: "gone".to_owned() },
        (AttemptStatus::Queued | AttemptStatus::Assigned, 14) => end(attempt, dice.outcome()),
        (AttemptStatus::Queued, 8..) => {
            Input::Assigned { attempt: attempt.clone(), runner: RunnerId::new("r") }
        }
        (AttemptStatus::Queued | AttemptStatus::Assigned, _) => {
            Input::Started { attempt: attempt.clone(), runner: None, began: None, name: None }
        }
        (_, 14) => end(attempt, Outcome::Cancelled),
        (_, _) => end(attempt, dice.outcome()),
    }
}

fn end(attempt: &AttemptId, outcome: Outcome) -> Input {
    let output = match outcome {
        Outcome::Success => json!({"from": attempt.as_str()}),
        Outcome::Exit { .. }
        | Outcome::TimedOut
        | Outcome::Cancelled
        | Outcome::Refused { .. }
        | Outcome::Failed { .. }
        | Outcome::Rejected { .. }
        | Outcome::Infra { .. } => Json::Null,
    };
    Input::Ended { attempt: attempt.clone(), outcome, output }
}

/// Moves the clock to the next deadline if nothing else can happen, now and then also before.
fn pass_time(player: &mut Player, dice: &mut Dice<'_>) {
    if player.open.is_empty()
        && let Some(due) = player.run.next_deadline()
    {
        player.now = due.max(player.now);
    } else if dice.draw() > 250 {
        player.now += SignedDuration::from_mins(45);
    }
}
