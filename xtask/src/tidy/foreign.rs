//! Rules: foreign input is computed on within a budget only.
//!
//! Programs are run by `plue_runtime::foreign::process`, and values are judged by
//! `plue_plan::json_schema`; both have limits that a bare call has not.

use super::{
    report::Violation,
    rust_files::is_test_file,
    tokens::{Token, starts_with},
    tree::Tree,
};

/// The one place that may call the validator of JSON Schemas.
const JUDGE: &str = "engine/plan/src/json_schema";
/// The one place that may wait for the whole answer of a program.
const PROCESSES: &str = "engine/runtime/src/foreign/";
/// Rooms that read foreign input. Runner and evaluator execute it, in a sandbox.
const ROOMS: &[&str] = &["engine/", "prompts/"];
/// Programs of the operator on the operator's own data, whose answers may be as long as they are.
const OWN: &[&str] = &[
    // `pg_dump` and `pg_restore` of one's own database.
    "engine/archive/src/backup/postgres.rs",
    // plue's own evaluator, which limits itself.
    "engine/cli/src/commands/doctor/jail.rs",
    // plue itself, on one's own work tree.
    "engine/cli/src/commands/test/program.rs",
    // The evaluator's complaints, read up to a limit of their own.
    "engine/planner/src/process.rs",
    // bubblewrap, asked whether the sandbox holds, within a deadline.
    "engine/pool/src/sandbox.rs",
    // A test's own database server.
    "engine/testkit/src/postgres.rs",
    "engine/testkit/src/postgres/own.rs",
    // The scripted model, which tests start.
    "engine/testkit/src/scripted.rs",
];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    // Files that do not parse are reported by another rule.
    for (path, source) in tree.sources_of_rust() {
        let is_room = ROOMS.iter().any(|room| path.starts_with(room));
        if !is_room || is_test_file(path) || path.ends_with("/build.rs") {
            continue;
        }
        let code = source.tokens.split_at(end_of_code(&source.tokens)).0;
        for at in 0..code.len() {
            judged(path, code, at, &mut found);
            answered(path, code, at, &mut found);
        }
    }
    found
}

/// Tests stand at the end of a file.
fn end_of_code(tokens: &[Token]) -> usize {
    let test = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    (0..tokens.len()).find(|at| starts_with(tokens, *at, &test)).unwrap_or(tokens.len())
}

fn judged(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    if tokens[at].text == "jsonschema" && !path.starts_with(JUDGE) {
        let advice = "a bare validator has no bound: use `plue_plan::json_schema::BoundedSchema`";
        found.push(Violation::new(path, tokens[at].line, "bare-validator", advice));
    }
}

fn answered(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    if path.starts_with(PROCESSES) || OWN.contains(&path) {
        return;
    }
    let waits = starts_with(tokens, at, &[".", "output", "(", ")"])
        || starts_with(tokens, at, &[".", "wait_with_output", "("])
        || starts_with(tokens, at, &[".", "stdout", ".", "take", "(", ")"])
        || starts_with(tokens, at, &[".", "stderr", ".", "take", "(", ")"]);
    let git = starts_with(tokens, at, &["Command", ":", ":", "new", "(", "\"git\""]);
    if waits || git {
        let advice = "no limit of bytes, memory and time: use `plue_runtime::foreign::process`";
        found.push(Violation::new(path, tokens[at].line, "bare-process", advice));
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn rules(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        check(&Tree::of(&[(path, text)])).iter().map(|found| (found.line, found.rule)).collect()
    }

    #[test]
    fn bare_answers_of_programs_are_refused() {
        let file = "fn a() { b.arg(1)\n.output(); }\nfn c() { d.wait_with_output(); }\n\
                    fn e() { Command::new(\"git\") }\n";
        let refused = [(2, "bare-process"), (3, "bare-process"), (4, "bare-process")];
        assert_eq!(rules("engine/forge/src/a.rs", file), refused);
        assert_eq!(rules("engine/cli/src/a.rs", file), refused);
    }

    #[test]
    fn pipes_without_a_limit_are_refused() {
        let file = "fn a() { b.stdout.take().c(d); }\nfn e() { f.stderr\n.take(); }\n\
                    fn g() { h.stdin.take(); }\n";
        let refused = [(1, "bare-process"), (2, "bare-process")];
        assert_eq!(rules("engine/cli/src/a.rs", file), refused);
        assert_eq!(rules("engine/runtime/src/foreign/process/stream.rs", file), []);
    }

    #[test]
    fn named_exceptions_may_wait_for_programs() {
        let file = "fn a() { b.output(); }\n";
        for path in [
            "engine/runtime/src/foreign/process.rs",
            "engine/archive/src/backup/postgres.rs",
            "engine/cli/tests/a.rs",
            "engine/cli/src/a/tests.rs",
            "runner/src/a.rs",
            "xtask/src/a.rs",
        ] {
            assert_eq!(rules(path, file), [], "{path}");
        }
    }

    #[test]
    fn bare_validators_are_refused_outside_the_judge() {
        let file = "fn a() { jsonschema::draft202012::new(b); }\n";
        for path in ["engine/executor/src/a.rs", "prompts/src/schema.rs", "engine/plan/src/a.rs"] {
            assert_eq!(rules(path, file), [(1, "bare-validator")], "{path}");
        }
        for path in ["engine/plan/src/json_schema.rs", "engine/plan/src/json_schema/violation.rs"] {
            assert_eq!(rules(path, file), [], "{path}");
        }
    }

    #[test]
    fn tests_strings_and_other_methods_are_not_meant() {
        let file = "// b.output()\nfn a() { \"b.output()\"; b.output(1); b.outputs(); }\n\
                    #[cfg(test)]\nmod tests { fn c() { d.output(); jsonschema::e(); } }\n";
        assert_eq!(rules("engine/forge/src/a.rs", file), []);
    }
}
