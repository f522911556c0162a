//! Code of steps that cannot run: commands and programs that do not parse, scripts that are not there.
//!
//! Nothing of it is run: `bash -n` and Python's `compile` only read. A machine without these programs
//! checks nothing.

use std::{path::Path, time::Duration};

use plue_plan::{Action, Diagnostic, Plan, Step, budget::Budget, validate::SourceMap};
use plue_runtime::foreign::process::{ProcessError, ProcessLimits, Program};

use crate::failure::codes;

/// Python program that compiles its standard input; on failure it prints the error and exits 1.
const COMPILE: &str = "import sys\ntry:\n compile(sys.stdin.buffer.read(), '<step>', 'exec')\n\
                       except (SyntaxError, ValueError) as e:\n print(e, file=sys.stderr)\n sys.exit(1)";
/// Characters of a checker's error message that are kept.
const MAX_MESSAGE: usize = 300;
/// The limits of one check. The answer is not read; complaints have a limit of their own.
const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 64 * 1024, items: u64::MAX, steps: u64::MAX },
    wall: Duration::from_secs(20),
    cpu: Duration::from_secs(10),
    memory: 1024 * 1024 * 1024,
};

/// Syntax errors and missing scripts of a plan's steps, at their source locations.
pub(super) fn problems(plan: &Plan, places: &SourceMap, repo: &Path) -> Vec<Diagnostic> {
    plan.all_steps()
        .filter_map(|step| {
            let problem = of_step(step, repo)?;
            let spans = places.steps.get(step.id.as_str());
            Some(problem.at(spans.and_then(|spans| spans.first()).cloned()))
        })
        .collect()
}

fn of_step(step: &Step, repo: &Path) -> Option<Diagnostic> {
    let broken = |what: &str, complaint: String| {
        let message = format!("step `{}`: the {what} does not parse: {complaint}", step.id);
        Diagnostic::error(codes::STEP_CODE, message)
    };
    match &step.action {
        Action::Bash(bash) => {
            let message = refusal(&bash.shell, &["-n"], &bash.run)?;
            Some(broken("command", message))
        }
        Action::Python(python) => match (&python.code, &python.script) {
            (Some(code), _) => {
                let message = refusal("python3", &["-I", "-c", COMPILE], code)?;
                Some(broken("code", message))
            }
            (None, Some(script)) => {
                let folder =
                    step.options.cwd.as_deref().map_or(repo.to_owned(), |cwd| repo.join(cwd));
                if folder.join(script).exists() || repo.join(script).exists() {
                    return None;
                }
                let message = format!("step `{}`: there is no script `{script}`", step.id);
                let problem = Diagnostic::warning(codes::NO_SCRIPT, message);
                Some(problem.hint("an earlier step may write it; else correct the path"))
            }
            (None, None) => None,
        },
        Action::Llm(_)
        | Action::Approval(_)
        | Action::Negotiate(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Wait(_)
        | Action::Plugin(_) => None,
    }
}

/// Error message of a syntax checker, also when the check exceeds [`LIMITS`]; `None` if the text
/// passes or the checker cannot be started.
fn refusal(program: &str, args: &[&str], text: &str) -> Option<String> {
    let check = Program::new(program, LIMITS).args(args).input(text.as_bytes().to_vec());
    let message = match check.read_blocking() {
        Ok(_) | Err(ProcessError::Start { .. }) => return None,
        Err(error) => error.to_string(),
    };
    Some(message.chars().take(MAX_MESSAGE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_checks_are_refused() {
        let message = refusal("bash", &["-c", "while :; do echo; done"], "").unwrap();
        assert!(message.contains("budget exhausted: more than 65536 bytes"), "{message}");
    }

    #[test]
    fn complaints_are_repeated_and_absent_programs_check_nothing() {
        assert_eq!(refusal("bash", &["-n"], "echo hello"), None);
        let message = refusal("bash", &["-n"], "if true; then").unwrap();
        assert!(message.contains("syntax error"), "{message}");
        let message = refusal("python3", &["-I", "-c", COMPILE], "def").unwrap();
        assert!(message.contains("invalid syntax"), "{message}");
        assert_eq!(refusal("no-such-program-here", &[], ""), None);
    }
}
