//! Rule: dependencies between our crates point one way, as ARCHITECTURE.md draws them.

use super::{
    crates::{Crate, Dependency},
    report::Violation,
    tree::Tree,
};

/// The levels, lowest first. A crate may depend on any crate of a level below its own.
const LEVELS: &[&[&str]] = &[
    &["plue-plan"],
    &["plue-spec", "plue-flow", "plue-prompts", "plue-wire", "plue-picture", "plue-reports"],
    &["plue-runtime", "plue-store", "plue-dashboard"],
    &[
        "plue-planner",
        "plue-forge",
        "plue-login",
        "plue-registry",
        "plue-pool",
        "plue-pool-kube",
        "plue-llm",
        "plue-secrets",
    ],
    &["plue-executor", "plue-api"],
    &["plue-server", "plue-archive", "plue-client"],
    &["plue-cli"],
];
/// Dependencies inside one level.
const SIDEWAYS: &[(&str, &str)] = &[("plue-store", "plue-runtime")];
/// Programs of their own: they talk to the engine over a pipe, and see almost nothing of it.
const PROGRAMS: &[&str] = &["plue-runner", "plue-evaluator"];
/// All that such a program may see.
const SEEN_BY_PROGRAMS: &[&str] = &["plue-plan", "plue-wire", "plue-runtime"];
/// Crates of which nothing that ships may depend.
const FOR_TESTS_ONLY: &[&str] = &["plue-testkit", "plue-e2e"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let crates = Crate::all(tree);
    let mut found = Vec::new();
    for each in &crates {
        let name = each.name.as_str();
        let known = level(name).is_some()
            || PROGRAMS.contains(&name)
            || FOR_TESTS_ONLY.contains(&name)
            || !name.starts_with("plue-");
        if !known {
            let advice = "give the crate a level in xtask/src/tidy/layers.rs and ARCHITECTURE.md";
            found.push(Violation::new(each.manifest, each.line_of("name"), "layers", advice));
            continue;
        }
        for Dependency { name: target, dev, .. } in each.dependencies() {
            if dev || !target.starts_with("plue-") {
                continue;
            }
            if let Some(advice) = refuse(name, target) {
                found.push(Violation::new(each.manifest, each.line_of(target), "layers", advice));
            }
        }
    }
    found
}

/// The reason that `from` may not depend on `target`. Tests may depend on anything.
fn refuse(from: &str, target: &str) -> Option<String> {
    if FOR_TESTS_ONLY.contains(&from) {
        return None;
    }
    if FOR_TESTS_ONLY.contains(&target) {
        return Some(format!("{target} is for tests: move it to [dev-dependencies]"));
    }
    if PROGRAMS.contains(&target) {
        return Some(format!("{target} is a program: start it and talk over plue-wire"));
    }
    if PROGRAMS.contains(&from) {
        let fine = SEEN_BY_PROGRAMS.contains(&target);
        return (!fine).then(|| format!("{from} may see only {}", SEEN_BY_PROGRAMS.join(", ")));
    }
    let (Some(own), Some(other)) = (level(from), level(target)) else {
        return Some("tools of the repository depend on none of its crates".to_owned());
    };
    if other < own || SIDEWAYS.contains(&(from, target)) {
        return None;
    }
    Some(format!(
        "{from} (level {own}) must not depend on {target} (level {other}): \
         move the shared part down, or meet in the store"
    ))
}

fn level(name: &str) -> Option<usize> {
    LEVELS.iter().position(|names| names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::{check, refuse};
    use crate::tidy::tree::Tree;

    #[test]
    fn dependencies_point_down() {
        assert_eq!(refuse("plue-flow", "plue-plan"), None);
        assert_eq!(refuse("plue-cli", "plue-plan"), None);
        assert!(refuse("plue-plan", "plue-flow").is_some());
        assert!(refuse("plue-store", "plue-pool").is_some());
    }

    #[test]
    fn neighbours_do_not_know_each_other_unless_listed() {
        assert!(refuse("plue-api", "plue-executor").is_some());
        assert!(refuse("plue-flow", "plue-wire").is_some());
        assert_eq!(refuse("plue-store", "plue-runtime"), None);
        assert!(refuse("plue-runtime", "plue-store").is_some());
    }

    #[test]
    fn runners_see_only_plan_wire_and_runtime() {
        assert_eq!(refuse("plue-runner", "plue-wire"), None);
        assert!(refuse("plue-runner", "plue-store").is_some());
        assert!(refuse("plue-evaluator", "plue-planner").is_some());
        assert!(refuse("plue-pool", "plue-runner").is_some());
    }

    #[test]
    fn nothing_that_ships_depends_on_the_test_kit() {
        assert!(refuse("plue-executor", "plue-testkit").is_some());
        assert_eq!(refuse("plue-testkit", "plue-store"), None);
    }

    #[test]
    fn tools_of_the_repository_have_no_level() {
        assert!(refuse("xtask", "plue-plan").is_some());
    }

    #[test]
    fn breaks_are_reported_and_tests_are_exempt() {
        let manifest = "[package]\nname = \"plue-flow\"\n[dependencies]\nplue-store.workspace = true\n\
                        [dev-dependencies]\nplue-testkit.workspace = true\n";
        let found = check(&Tree::of(&[("engine/flow/Cargo.toml", manifest)]));
        let places: Vec<_> = found.iter().map(|found| (found.line, found.rule)).collect();
        assert_eq!(places, [(4, "layers")]);
    }

    #[test]
    fn a_new_crate_needs_a_level() {
        let manifest = "[package]\nname = \"plue-new\"\n";
        let found = check(&Tree::of(&[("engine/new/Cargo.toml", manifest)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].advice.contains("give the crate a level"));
    }
}
