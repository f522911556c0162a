//! The templates: names, parameters and texts. `@@key@@` in a text stands for a value.

use super::Language;

/// A template that ships with plue.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: &'static str,
    /// Default name of its workflow.
    pub(super) plan_name: &'static str,
    pub(super) description: &'static str,
    /// Parameters with their defaults.
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// Python, then YAML; none: the text is made ([`super::pipeline`]).
    texts: Option<(&'static str, &'static str)>,
}

macro_rules! texts {
    ($name:literal) => {
        Some((
            include_str!(concat!("../../../templates/", $name, ".plue.py")),
            include_str!(concat!("../../../templates/", $name, ".plue.yaml")),
        ))
    };
}

const BRANCH: &[(&str, &str)] = &[("branch", "main")];

/// All of them, by name.
pub(super) const ALL: &[Template] = &[
    Template {
        name: "bug-fix",
        plan_name: "bug-fix",
        description: "Four agents: investigate, analyze, fix, verify",
        parameters: &[("bug_description", "the bug that the issue describes")],
        texts: texts!("bug-fix"),
    },
    Template {
        name: "build-website",
        plan_name: "build_website",
        description: "Product manager, coder and reviewer; a rejected review goes back to the coder",
        parameters: &[("site", "a portfolio website")],
        texts: texts!("build-website"),
    },
    Template {
        name: "ci-node",
        plan_name: "Node CI",
        description: "Install, lint, test and pack a Node project",
        parameters: BRANCH,
        texts: texts!("ci-node"),
    },
    Template {
        name: "ci-python",
        plan_name: "Python CI",
        description: "Compile and test a Python project",
        parameters: BRANCH,
        texts: texts!("ci-python"),
    },
    Template {
        name: "ci-rust",
        plan_name: "Rust CI",
        description: "Format, lint, test and document a Rust project",
        parameters: BRANCH,
        texts: texts!("ci-rust"),
    },
    Template {
        name: "full-stack-feature",
        plan_name: "full-stack-feature",
        description: "Five agents: design, API and UI side by side, integration, test",
        parameters: &[("feature_name", "the new")],
        texts: texts!("full-stack-feature"),
    },
    Template {
        name: "hello-multi-agent",
        plan_name: "hello_multi_agent",
        description: "Planner, builder, reviewer and doc work on one goal",
        parameters: &[("goal", "Implement login endpoint")],
        texts: texts!("hello-multi-agent"),
    },
    Template {
        name: "pipeline",
        plan_name: "pipeline",
        description: "Agents one after the other, one for each --step",
        parameters: &[],
        texts: None,
    },
    Template {
        name: "pr-review",
        plan_name: "PR review",
        description: "An agent reviews each pull request",
        parameters: &[("base", "origin/main")],
        texts: texts!("pr-review"),
    },
    Template {
        name: "sample",
        plan_name: "sample",
        description: "Commands that wait for each other and hand values on; runs anywhere",
        parameters: &[],
        texts: texts!("sample"),
    },
];

// === impl Template ===

impl Template {
    /// The text in a language.
    pub(super) fn text(&self, language: Language) -> Option<&'static str> {
        let (python, yaml) = self.texts?;
        Some(match language {
            Language::Python => python,
            Language::Yaml => yaml,
        })
    }
}
