//! Names of tools in plans, prompts and roles.

use std::collections::BTreeSet;

use plue_llm::{
    Tool, codes,
    tools::{self, GIT_COMMANDS, TOOLS},
};
use plue_plan::action::Mcp;
use plue_wire::mcp;

/// Bytes of a host and its port, for `fetch`.
const MAX_HOST_BYTES: usize = 260;

/// The tools of a step.
#[derive(Debug, PartialEq)]
pub(super) struct Tools {
    /// For the model, each once, in the order of the table.
    pub(super) offers: Vec<Tool>,
    /// Hosts that `fetch` may reach, if it is offered.
    pub(super) fetch_hosts: Vec<String>,
    /// Servers of which tools are offered.
    pub(super) servers: Vec<Selected>,
}

/// A server and its tools that a step names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selected {
    pub(crate) server: Mcp,
    /// Names at the server; `None`: all of its tools.
    pub(crate) tools: Option<Vec<String>>,
}

/// The tools of these names. `git_status` and its like are `git` with those commands only,
/// `fetch(docs.rs)` is `fetch` with that host, `fetch` alone has the operator's hosts. `mcp__github` is all
/// of a server, `mcp__github__search` one of its tools.
///
/// # Errors
/// A name that is none, or `fetch` without a host, for the author.
pub(super) fn named(
    names: &[String],
    servers: &[Mcp],
    operators_hosts: &[String],
) -> Result<Tools, String> {
    let is_known = |name: &String| {
        let of_server = mcp::parts(name)
            .is_some_and(|(server, _)| servers.iter().any(|known| known.name == server));
        of_server
            || tools::tool(name).is_some()
            || git_command(name).is_some()
            || fetch_host(name).is_some()
    };
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        let code = codes::UNKNOWN_TOOL;
        return Err(format!(
            "{code}: there is no tool `{unknown}`; there are {}, fetch(HOST), git_{}, and mcp__SERVER of \
             the servers in `mcp` of the step",
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
    Ok(Tools { offers, fetch_hosts, servers })
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

/// Checks the names of calls that people approve. Those of the step have to be offered; those of its
/// prompt and role may name tools that the step does not use.
///
/// # Errors
/// A name that is none, or one of the step's that is not offered, for the author.
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
        // The tools of a server are listed later, and `validate` holds its name to `mcp`.
        if name.starts_with("mcp__") {
            continue;
        }
        let is_known = tools::tool(name).is_some() || git_command(name).is_some();
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

/// The hosts of all names of `fetch`, each once, in lower case; none if no name is `fetch`.
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

/// Whether a text is a host name, perhaps with a port.
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
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn offered(names: &[&str]) -> Result<Vec<Tool>, String> {
        named(&texts(names), &[], &[]).map(|tools| tools.offers)
    }

    fn hosts(names: &[&str], operators: &[&str]) -> Result<Vec<String>, String> {
        named(&texts(names), &[], &texts(operators)).map(|tools| tools.fetch_hosts)
    }

    #[test]
    fn fetch_names_add_their_hosts() {
        let own = ["fetch(Docs.rs)", "fetch( a.example:8443 )", "fetch(docs.rs)"];
        assert_eq!(hosts(&own, &["b.example"]).unwrap(), ["docs.rs", "a.example:8443"]);
        assert_eq!(hosts(&["fetch"], &["b.example"]).unwrap(), ["b.example"]);
        let both = hosts(&["fetch", "fetch(docs.rs)"], &["b.example"]).unwrap();
        assert_eq!(both, ["docs.rs", "b.example"]);
        assert!(hosts(&["read"], &["b.example"]).unwrap().is_empty());
        let tools = offered(&["fetch(docs.rs)"]).unwrap();
        assert!(tools[0].name == "fetch" && tools[0].description.contains("docs.rs"));
        assert!(offered(&["read"]).unwrap().iter().all(|tool| tool.name != "fetch"));
    }

    #[test]
    fn fetch_without_usable_hosts_is_refused() {
        let long = format!("fetch({}.example)", "a".repeat(300));
        for name in [
            "fetch",
            "fetch()",
            "fetch(*)",
            "fetch(https://docs.rs)",
            "fetch(docs.rs/x)",
            "fetch(a,b)",
            "fetch(docs.rs:0)",
            "fetch(docs.rs:x)",
            "fetch([::1])",
            &long,
        ] {
            let error = hosts(&[name], &[]).unwrap_err();
            assert!(error.contains("PLUE-L0015"), "{name}: {error}");
        }
        assert!(hosts(&["fetch"], &["https://docs.rs"]).unwrap_err().contains("PLUE-L0015"));
    }

    #[test]
    fn git_names_allow_their_commands_only() {
        let tools = offered(&["git_diff", "git_status", "read", "git_diff"]).unwrap();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["read", "git"]);
        let command = &tools[1].input_schema["properties"]["command"];
        assert_eq!(command["enum"], json!(["status", "diff"]));
        let whole = offered(&["git_status", "git"]).unwrap();
        assert_eq!(whole, [tools::tool("git").unwrap().offer()]);
        assert_eq!(offered(&[]).unwrap(), []);
    }

    #[test]
    fn approved_names_are_offered() {
        let check = |tools: &[&str], own: &[&str], others: &[&str]| {
            let (own, others) = (texts(own), texts(others));
            let all = own.iter().chain(&others).collect();
            check_approve(&all, &own, &offered(tools).unwrap())
        };
        check(&["git_commit", "bash"], &["git_commit", "bash", "git"], &["write"]).unwrap();
        check(&["git"], &["git_commit"], &[]).unwrap();
        for (tools, own, others) in [
            (vec!["read"], vec!["bash"], vec![]),
            (vec!["git_status"], vec!["git_commit"], vec![]),
            (vec!["bash"], vec!["bsah"], vec![]),
            (vec!["bash"], vec![], vec!["bsah"]),
        ] {
            let error = check(&tools, &own, &others).unwrap_err();
            assert!(error.contains("PLUE-L0012"), "{error}");
        }
    }

    #[test]
    fn servers_offer_only_what_is_named() {
        let server = |name: &str| -> Mcp {
            serde_json::from_value(json!({"name": name, "command": ["x"]})).unwrap()
        };
        let servers = [server("a"), server("b"), server("c")];
        let of = |names: &[&str]| named(&texts(names), &servers, &[]).map(|tools| tools.servers);
        assert_eq!(of(&["bash"]).unwrap(), []);
        let found = of(&["mcp__b__x", "mcp__a__y", "mcp__a", "mcp__b__z"]).unwrap();
        let all = Selected { server: server("a"), tools: None };
        let some = Selected { server: server("b"), tools: Some(texts(&["x", "z"])) };
        assert_eq!(found, [all, some]);
        for name in ["mcp__d", "mcp__d__x", "mcp__", "mcp_a"] {
            assert!(of(&[name]).unwrap_err().contains("PLUE-L0012"), "{name}");
        }
    }

    #[test]
    fn unknown_names_are_errors() {
        for name in ["shell", "git_push", "git_", "Git", "bash ", "", "submit_output", "bash_read"]
        {
            let error = offered(&["read", name]).unwrap_err();
            assert!(error.contains("PLUE-L0012"), "{name}: {error}");
        }
    }
}
