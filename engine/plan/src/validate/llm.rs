//! `llm` steps.
//!
//! Must not know which models, tools, roles or prompts exist.

use serde_json::Value as Json;

use crate::{
    action::{Llm, Prompt},
    codes,
    validate::{
        option,
        report::{Report, Site},
        text, value,
    },
    value::Node,
};

pub(super) fn llm(report: &mut Report, site: Site<'_>, llm: &Llm) {
    prompt(report, site, llm);
    if let Some(system) = &llm.system {
        value::large(report, site, "`system`", system);
    }
    if let Some(model) = &llm.model {
        text::plain(report, site, codes::BAD_NAME, "the model", model);
    }
    for model in &llm.fallback_models {
        text::plain(report, site, codes::BAD_NAME, "a fallback model", model);
    }
    if let Some(effort) = &llm.effort {
        text::plain(report, site, codes::BAD_NAME, "the effort", effort);
    }
    if let Some(role) = &llm.role {
        text::identifier(report, site, codes::BAD_NAME, "the role", role);
    }
    for tool in llm.tools.iter().flatten() {
        text::plain(report, site, codes::BAD_TOOL, "a tool", tool);
    }
    let turns = ("max_turns", llm.max_turns);
    for (field, limit) in [turns, ("max_tokens", llm.max_tokens)] {
        if limit == Some(0) {
            report.push(
                site.error(codes::LLM_LIMIT, format_args!("`{field}` is 0; it is 1 or more"))
                    .hint("leave it out for no limit of its own"),
            );
        }
    }
    option::budget(report, site, llm.budget.as_ref());
}

fn prompt(report: &mut Report, site: Site<'_>, llm: &Llm) {
    match &llm.prompt {
        Prompt::File(file) => {
            text::identifier(report, site, codes::BAD_NAME, "the prompt", &file.name);
            for name in file.inputs.keys() {
                text::identifier(report, site, codes::BAD_NAME, "the prompt's input", name);
            }
        }
        Prompt::Text(request) => match request.node() {
            Node::Literal(Json::String(text)) => {
                // A role brings its own prompt, so the request beside it may be empty.
                if llm.role.is_none() {
                    value::command(report, site, "`prompt`", text);
                } else {
                    value::large(report, site, "`prompt`", text);
                }
            }
            Node::Expr(_) | Node::Template(_) | Node::Malformed(_) => {}
            Node::Secret(_) | Node::Literal(_) => report.push(
                site.error(
                    codes::BAD_PROMPT,
                    "`prompt` is neither a text nor a prompt file with its inputs",
                )
                .hint("text, or `Prompt(\"name\", key=value)`"),
            ),
        },
    }
}
