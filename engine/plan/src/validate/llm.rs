//! `llm` steps.
//!
//! Must not know which models, tools, roles or prompts exist.

use serde_json::Value as Json;

use crate::{
    action::{Llm, Prompt},
    codes,
    validate::{
        mcp, option,
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
    approve(report, site, llm);
    mcp::servers(report, site, llm);
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

/// Calls to approve are of tools that the step lists, if it lists any: a name with a slip would let
/// every call pass.
fn approve(report: &mut Report, site: Site<'_>, llm: &Llm) {
    for name in &llm.approve {
        text::plain(report, site, codes::BAD_TOOL, "a call to approve", name);
        if llm.tools.as_ref().is_some_and(|tools| !offers(tools, name)) {
            let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            let message = format_args!("`approve` names `{shown}`, which `tools` does not offer");
            report.push(site.error(codes::APPROVE_WITHOUT_TOOL, message).hint(
                "write it as in `tools`; `fetch` without a host, `git_commit` also for `git`",
            ));
        }
    }
    option::positive_duration(report, site, "approve_timeout", llm.approve_timeout.as_ref());
}

/// True if the tools offer calls of this name. Tools of servers, `server__tool`, are not known
/// here.
fn offers(tools: &[String], name: &str) -> bool {
    tools.iter().any(|tool| {
        let bare = tool.split_once('(').map_or(tool.as_str(), |(bare, _)| bare);
        bare == name
            || name.strip_prefix(bare).is_some_and(|rest| rest.starts_with('_'))
            || (name == "git" && bare.starts_with("git_"))
    }) || name.contains("__")
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
                // A role brings its own prompt, so the request may be empty.
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
