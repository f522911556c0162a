//! Scripts of simulated steps: the step's text, `;` between acts.
//!
//! | act | meaning |
//! |---|---|
//! | `say TEXT`, `err TEXT` | a line on standard output, on standard error |
//! | `count N` | N lines: `line 0 of many`, `line 1 of many`, … |
//! | `env NAME` | a line with the value of the variable |
//! | `wait MS` | time passes |
//! | `exit N` | ends with this status; without it the step succeeds |
//! | `fail_before N` | ends with status 1 in attempts before the Nth |
//! | `fail_visits N` | ends with status 1 in visits before the Nth |
//! | `out JSON` | its output |
//! | `forever` | until it is stopped |

use std::{collections::VecDeque, time::Duration};

use plue_wire::runner::{Assign, Program};

/// One thing that a step does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Say(Vec<u8>),
    Err(Vec<u8>),
    Wait(Duration),
    Exit(i32),
    Out(String),
    Forever,
}

/// The acts of an assignment.
pub(super) fn acts(assign: &Assign) -> VecDeque<Act> {
    let program = match &assign.program {
        Program::WithServices { program, .. } => program,
        other => other,
    };
    let text = match program {
        Program::Shell { run, .. } => run,
        Program::PythonCode { code, .. } => code,
        Program::PythonScript { script, .. } => script,
        Program::WithServices { .. } | Program::Agent | Program::McpAgent { .. } => "",
    };
    let variable = |name: &str| {
        let found = assign.env.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let number =
        |name: &str| -> u32 { variable(name).and_then(|value| value.parse().ok()).unwrap_or(0) };
    let mut acts = VecDeque::new();
    for act in text.split(';').map(str::trim).filter(|act| !act.is_empty()) {
        let (verb, rest) = act.split_once(' ').unwrap_or((act, ""));
        let line = || format!("{rest}\n").into_bytes();
        let count = || rest.parse::<u32>().unwrap_or(0);
        match verb {
            "say" => acts.push_back(Act::Say(line())),
            "count" => {
                let line = |n| Act::Say(format!("line {n} of many\n").into_bytes());
                acts.extend((0..count()).map(line));
            }
            "env" => {
                let line = format!("{}\n", variable(rest).unwrap_or("nothing"));
                acts.push_back(Act::Say(line.into_bytes()));
            }
            "err" => acts.push_back(Act::Err(line())),
            "wait" => acts.push_back(Act::Wait(Duration::from_millis(count().into()))),
            "exit" => acts.push_back(Act::Exit(rest.parse().unwrap_or(1))),
            "fail_before" if number("PLUE_ATTEMPT") < count() => acts.push_back(Act::Exit(1)),
            "fail_visits" if number("PLUE_VISIT") < count() => acts.push_back(Act::Exit(1)),
            "fail_before" | "fail_visits" => {}
            "out" => acts.push_back(Act::Out(rest.to_owned())),
            "forever" => acts.push_back(Act::Forever),
            other => panic!("a scripted step cannot {other:?}"),
        }
    }
    acts
}
