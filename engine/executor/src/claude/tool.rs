//! Names of tools in plans, prompts and roles.

use std::collections::BTreeSet;

use plue_llm::{
    Tool, codes,
    tools::{self, GIT_COMMANDS, TOOLS},
};
use plue_plan::{action::Mcp, id::check_identifier};
use plue_wire::mcp;
use serde_json::Value as Json;

use super::{step_tool::step_of, workflow_tool::workflow_of};

/// Most roles and prompts in the tools of one agent.
const MAX_STARTERS: usize = 16;
/// Bytes of a host with its port, for `fetch`.
const MAX_HOST_BYTES: usize = 260;

/// The tools of a step.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tools {
    /// For the model, without duplicates, in the order of [`TOOLS`].
    pub(super) offers: Vec<Tool>,
    /// Hosts that `fetch` may reach, if it is offered.
    pub(super) fetch_hosts: Vec<String>,
    /// Servers of which tools are offered.
    pub(super) servers: Vec<Selected>,
    /// Agents that calls may start, each once, in the order of their names in `tools`.
    pub(super) starts: Vec<Starter>,
}

/// The tools of a server that a step names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selected {
    pub(crate) server: Mcp,
    /// Names on the server; `None`: all tools.
    pub(crate) tools: Option<Vec<String>>,
}

/// A subagent that a tool starts: of a role, or of a prompt file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Starter {
    Role(String),
    Prompt(String),
}

/// The tools of these names. `git_status` is `git` with this command only, `fetch(docs.rs)` is `fetch` with
/// this host, `fetch` alone has the operator's hosts; `delegate(reviewer)` starts a subagent of a role,
/// `prompt(review)` one of a prompt file. `mcp__github` is a whole server, `mcp__github__search` one tool.
///
/// # Errors
/// A text for the author: an unknown name, `fetch` without a host, or `delegate` without a role.
pub(super) fn named(
    names: &[String],
    servers: &[Mcp],
    operators_hosts: &[String],
) -> Result<Tools, String> {
    let starts = starters(names)?;
    let is_known = |name: &String| {
        let of_server = mcp::parts(name)
            .is_some_and(|(server, _)| servers.iter().any(|known| known.name == server));
        of_server
            || starter(name).is_some()
            || step_of(name).is_some()
            || workflow_of(name).is_some()
            || tools::tool(name).is_some()
            || git_command(name).is_some()
            || fetch_host(name).is_some()
    };
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        let code = codes::UNKNOWN_TOOL;
        return Err(format!(
            "{code}: there is no tool `{unknown}`; there are {}, fetch(HOST), delegate(ROLE), \
             prompt(NAME), step(ID), workflow(NAME), git_{}, and mcp__SERVER of the servers in `mcp` of the step",
            known.join(", "),
            GIT_COMMANDS.join(", git_")
        ));
    }
    let servers = servers.iter().filter_map(|server| selected(names, server)).collect();
    let fetch_hosts = fetch_hosts(names, operators_hosts)?;
    let mut offers: Vec<Tool> = Vec::new();
    for tool in &TOOLS {
        if tool.name == "fetch" {
            offers.extend(tools::fetch_offer(&fetch_hosts).filter(|_| !fetch_hosts.is_empty()));
        } else if names.iter().any(|name| name == tool.name) {
            offers.push(tool.offer());
        } else if tool.name == "git" {
            let is_named =
                |command: &&str| names.iter().any(|name| git_command(name) == Some(*command));
            let commands: Vec<&str> = GIT_COMMANDS.into_iter().filter(is_named).collect();
            offers.extend(tools::git_offer(&commands).filter(|_| !commands.is_empty()));
        }
    }
    Ok(Tools { offers, fetch_hosts, servers, starts })
}

/// The tools of a server that are named; `None`: the server offers nothing.
fn selected(names: &[String], server: &Mcp) -> Option<Selected> {
    let of_server = |name| mcp::parts(name).filter(|(named, _)| *named == server.name);
    let named: Vec<_> = names.iter().filter_map(|name| of_server(name)).collect();
    if named.is_empty() {
        return None;
    }
    let tools: Option<Vec<String>> =
        named.iter().map(|(_, tool)| tool.map(str::to_owned)).collect();
    Some(Selected { server: server.clone(), tools })
}

/// Checks the names of calls that people approve. Names of the step must be offered; those of its prompt and
/// role may be tools that the step does not use.
///
/// # Errors
/// A text for the author: an unknown name, or one of the step that is not offered.
pub(super) fn check_approve(
    names: &BTreeSet<&String>,
    of_step: &[String],
    offers: &[Tool],
) -> Result<(), String> {
    let code = codes::UNKNOWN_TOOL;
    let offered = |name: &str| {
        offers.iter().any(|offer| {
            let of_git = git_command(name).filter(|_| offer.name == "git");
            offer.name == name || of_git.is_some_and(|command| has_command(offer, command))
        })
    };
    for name in names {
        // Tools of a server are listed later; `validate` checks its name.
        if is_of_server(name) {
            continue;
        }
        let is_known = tools::tool(name).is_some()
            || git_command(name).is_some()
            || *name == tools::DELEGATE
            || name.starts_with(tools::PROMPT_PREFIX);
        if !(is_known || offered(name)) || (of_step.contains(name) && !offered(name)) {
            let names: Vec<_> = offers.iter().map(|offer| offer.name.as_str()).collect();
            return Err(format!(
                "{code}: `approve` names `{name}`, which the step does not offer; it offers {}",
                names.join(", ")
            ));
        }
    }
    Ok(())
}

fn has_command(git: &Tool, command: &str) -> bool {
    let field = git.input_schema.get("properties").and_then(|fields| fields.get("command"));
    let allowed = field.and_then(|field| field.get("enum")?.as_array());
    allowed.is_none_or(|allowed| allowed.iter().any(|one| one == command))
}

/// The subagents of all names of `delegate` and `prompt`, without duplicates.
fn starters(names: &[String]) -> Result<Vec<Starter>, String> {
    let code = codes::AGENT_TOOL;
    let mut starts: Vec<Starter> = Vec::new();
    for name in names {
        let (tool, example, what) = match name.split('(').next() {
            Some("delegate") => ("delegate", "delegate(reviewer)", "role"),
            Some("prompt") => ("prompt", "prompt(code-review)", "prompt"),
            _ => continue,
        };
        let Some(found) = starter(name) else {
            return Err(format!(
                "{code}: `{name}` names no {what}; write `{example}` in `tools`, with an entry for each {what}"
            ));
        };
        if let Err(problem) = check_identifier(found.name()) {
            return Err(format!("{code}: the {what} of `{tool}` cannot be one: {problem}"));
        }
        if !starts.contains(&found) {
            starts.push(found);
        }
    }
    if starts.len() > MAX_STARTERS {
        return Err(format!(
            "{code}: {} roles and prompts; one agent has tools for {MAX_STARTERS}",
            starts.len()
        ));
    }
    Ok(starts)
}

/// The subagent of `delegate(reviewer)` or `prompt(review)`.
fn starter(name: &str) -> Option<Starter> {
    let (tool, rest) = name.split_once('(')?;
    let named = rest.strip_suffix(')').map(str::trim).filter(|named| !named.is_empty())?.to_owned();
    match tool {
        "delegate" => Some(Starter::Role(named)),
        "prompt" => Some(Starter::Prompt(named)),
        _ => None,
    }
}

// === impl Starter ===

impl Starter {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Role(name) | Self::Prompt(name) => name,
        }
    }
}

// === impl Tools ===

impl Tools {
    /// The tools of these names that an agent with the tools `above` may pass on: of `git` the common
    /// commands, `fetch` only if all hosts of the parent are allowed, since the runner has one list of hosts
    /// for an attempt, and no tools of servers.
    ///
    /// # Errors
    /// As [`named`].
    pub(super) fn within(
        above: &Self,
        names: &[String],
        operators_hosts: &[String],
    ) -> Result<Self, String> {
        let has_fetch = above.offers.iter().any(|offer| offer.name == "fetch");
        let is_fetch = |name: &str| name == "fetch" || fetch_host(name).is_some();
        let is_left = |name: &&String| {
            let is_own = step_of(name).is_some() || workflow_of(name).is_some();
            (has_fetch || !is_fetch(name)) && !is_of_server(name) && !is_own
        };
        let names: Vec<String> = names.iter().filter(is_left).cloned().collect();
        let own = named(&names, &[], operators_hosts)?;
        let mut offers = Vec::new();
        for offer in &above.offers {
            let Some(same) = own.offers.iter().find(|same| same.name == offer.name) else {
                continue;
            };
            match offer.name.as_str() {
                "git" => {
                    let allowed = git_commands(offer);
                    let both = git_commands(same).into_iter().filter(|it| allowed.contains(it));
                    let both: Vec<&str> = both.collect();
                    offers.extend(tools::git_offer(&both).filter(|_| !both.is_empty()));
                }
                "fetch" => {
                    let all = above.fetch_hosts.iter().all(|host| own.fetch_hosts.contains(host));
                    offers.extend(all.then(|| offer.clone()));
                }
                _ => offers.push(offer.clone()),
            }
        }
        let has_fetch = offers.iter().any(|offer| offer.name == "fetch");
        let fetch_hosts = if has_fetch { above.fetch_hosts.clone() } else { Vec::new() };
        let starts = own.starts.into_iter().filter(|start| above.starts.contains(start)).collect();
        Ok(Self { offers, fetch_hosts, servers: Vec::new(), starts })
    }
}

/// Whether a name belongs to an MCP server.
fn is_of_server(name: &str) -> bool {
    name.starts_with("mcp__")
}

/// The commands that an offer of `git` allows.
fn git_commands(offer: &Tool) -> Vec<&'static str> {
    let allowed =
        offer.input_schema.get("properties").and_then(|it| it.get("command")?.get("enum"));
    let allowed = allowed.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_allowed = |command: &&str| allowed.iter().any(|it| it.as_str() == Some(*command));
    GIT_COMMANDS.into_iter().filter(is_allowed).collect()
}

/// The lower-case hosts of all names of `fetch`, without duplicates.
fn fetch_hosts(names: &[String], operators: &[String]) -> Result<Vec<String>, String> {
    let code = codes::FETCH_HOSTS;
    let is_plain = names.iter().any(|name| name == "fetch");
    let own = names.iter().filter_map(|name| fetch_host(name));
    let of_operator = operators.iter().map(String::as_str).filter(|_| is_plain);
    let mut hosts: Vec<String> = Vec::new();
    for host in own.chain(of_operator) {
        if !is_host(host) {
            return Err(format!(
                "{code}: `{host}` is no host that `fetch` may reach; write a name such as `docs.rs` or \
                 `docs.rs:8443`"
            ));
        }
        let host = host.to_ascii_lowercase();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if is_plain && hosts.is_empty() {
        return Err(format!(
            "{code}: `fetch` has no host; write `fetch(docs.rs)` in `tools` for each host, or set \
             `claude.fetch_hosts` of the configuration"
        ));
    }
    Ok(hosts)
}

/// The text between the brackets of `fetch(docs.rs)`.
fn fetch_host(name: &str) -> Option<&str> {
    name.strip_prefix("fetch(")?.strip_suffix(')').map(str::trim)
}

/// Whether a text is a host with an optional port.
fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.len() <= MAX_HOST_BYTES
        && port.is_none_or(is_port)
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
}

/// The command that a name such as `git_status` allows.
fn git_command(name: &str) -> Option<&'static str> {
    let command = name.strip_prefix("git_")?;
    GIT_COMMANDS.into_iter().find(|known| *known == command)
}

#[cfg(test)]
mod tests;
