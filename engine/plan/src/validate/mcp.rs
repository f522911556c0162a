//! MCP servers of `llm` steps: their names, where they are, and the tools that name them.

use std::str::FromStr as _;

use crate::{
    action::{Llm, Mcp},
    canonical::PlanHash,
    codes,
    validate::{
        action::{is_header, is_http},
        report::{Quoted, Report, Site},
        text,
    },
};

/// Servers of one step.
const MAX_SERVERS: usize = 16;
/// Words of one command.
const MAX_WORDS: usize = 256;
/// Bytes of a command, an address or a header's name.
const MAX_BYTES: usize = 16 * 1024;
/// Characters of a server's name.
const MAX_NAME: usize = 32;
/// The beginning of a tool of a server.
const PREFIX: &str = "mcp__";

/// Judges the servers of a step, and the tools of the step that name one.
pub(super) fn servers(report: &mut Report, site: Site<'_>, llm: &Llm) {
    if llm.mcp.len() > MAX_SERVERS {
        let message = format_args!("the step has more than {MAX_SERVERS} MCP servers");
        report.push(site.error(codes::BAD_MCP, message));
    }
    for (at, server) in llm.mcp.iter().enumerate() {
        self::server(report, site, server);
        if llm.mcp.iter().take(at).any(|earlier| earlier.name == server.name) {
            let message =
                format_args!("two MCP servers of the step are called {}", Quoted(&server.name));
            report.push(site.error(codes::BAD_MCP, message));
        }
    }
    for tool in llm.tools.iter().flatten() {
        let Some(rest) = tool.strip_prefix(PREFIX) else { continue };
        let name = rest.split_once("__").map_or(rest, |(name, _)| name);
        if !llm.mcp.iter().any(|server| server.name == name) {
            let message = format_args!("the tool {} is of no MCP server of the step", Quoted(tool));
            report.push(
                site.error(codes::BAD_TOOL, message)
                    .hint("name the server in `mcp`, or leave the tool out"),
            );
        }
    }
}

fn server(report: &mut Report, site: Site<'_>, server: &Mcp) {
    let mut bad = |message: &str, hint: &str| {
        let name = Quoted(&server.name);
        let message = format_args!("the MCP server {name} {message}");
        report.push(site.error(codes::BAD_MCP, message).hint(hint));
    };
    if !is_name(&server.name) {
        bad(
            "has a name of the wrong shape",
            "a letter a-z, then up to 31 of a-z, 0-9, `-` and single `_`, like `github`",
        );
    }
    match (&server.url, server.command.as_slice()) {
        (None, []) => bad("has neither `command` nor `url`", "give exactly one of them"),
        (Some(_), [_, ..]) => bad("has both `command` and `url`", "give exactly one of them"),
        (Some(url), []) if url.len() > MAX_BYTES || !is_http(url) => {
            bad("has a `url` that is no HTTP address", "like `https://host.example/mcp`");
        }
        (Some(_), []) | (None, _) => {}
    }
    if server.url.is_some() && !server.env.is_empty() {
        bad("has a `url` and `env`", "`env` is the environment of a `command`");
    }
    if server.url.is_none() && !server.headers.is_empty() {
        bad("has `headers` without a `url`", "secrets of a `command` stand in `env`");
    }
    let bytes: usize = server.command.iter().map(String::len).sum();
    let is_empty = server.command.first().is_some_and(|program| program.trim().is_empty());
    let has_nul = server.command.iter().any(|word| word.contains('\0'));
    if is_empty || has_nul || bytes > MAX_BYTES || server.command.len() > MAX_WORDS {
        bad("has a `command` that cannot be run", "a program and its arguments, without NUL bytes");
    }
    if server.headers.keys().any(|name| !is_header(name)) {
        bad("has a header of the wrong shape", "like `Authorization`");
    }
    if server.pin.as_ref().is_some_and(|pin| PlanHash::from_str(pin).is_err()) {
        bad("has a `pin` that is no hash", "`sha256:` and 64 lower-case hexadecimal digits");
    }
    for name in server.env.keys() {
        text::env_name(report, site, name);
    }
}

/// One reading of `mcp__SERVER__TOOL` only: no `__` in a name, and none that begins in it.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= MAX_NAME
        && name.chars().all(allowed)
        && !name.contains("__")
        && !name.ends_with('_')
}

#[cfg(test)]
mod tests {
    use crate::{
        Plan,
        validate::{SourceMap, validate},
    };

    fn problems(servers: &str, tools: &str) -> String {
        let step =
            format!(r#"{{"id":"a","kind":"llm","prompt":"p","tools":{tools},"mcp":{servers}}}"#);
        let plan = format!(r#"{{"version":1,"name":"x","steps":[{step}]}}"#);
        let plan = Plan::from_json(plan.as_bytes()).unwrap();
        let found = validate(&plan, &SourceMap::default());
        let found = found.iter().map(|one| format!("{}: {}", one.code.as_str(), one.message));
        found.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn servers_are_a_command_or_a_url() {
        let local = r#"[{"name":"git-hub","command":["npx","x"],"env":{"A":"b"}}]"#;
        assert_eq!(problems(local, r#"["mcp__git-hub","bash"]"#), "");
        let pin = format!("sha256:{}", "0a".repeat(32));
        let remote = format!(
            r#"[{{"name":"d","url":"https://d.example/mcp","headers":{{"Authorization":{{"$secret":"T"}}}},"pin":"{pin}"}}]"#
        );
        assert_eq!(problems(&remote, r#"["mcp__d__search"]"#), "");
        for (server, words) in [
            (r#"{"name":"a"}"#, "neither"),
            (r#"{"name":"a","command":["x"],"url":"https://x.example"}"#, "both"),
            (r#"{"name":"a","url":"file:///etc"}"#, "no HTTP address"),
            (r#"{"name":"a","url":"https://x.example","env":{"A":"b"}}"#, "`env`"),
            (r#"{"name":"a","command":["x"],"headers":{"A":"b"}}"#, "without a `url`"),
            (r#"{"name":"a","command":[" "]}"#, "cannot be run"),
            (r#"{"name":"a","command":["x\u0000"]}"#, "cannot be run"),
            (r#"{"name":"a","url":"https://x.example","headers":{"a b":"c"}}"#, "header"),
            (r#"{"name":"a","command":["x"],"pin":"sha256:0"}"#, "no hash"),
        ] {
            let found = problems(&format!("[{server}]"), "[]");
            assert!(found.starts_with("PLUE-P0084") && found.contains(words), "{server}: {found}");
        }
    }

    #[test]
    fn names_of_servers_have_one_reading() {
        for name in ["", "A", "1a", "a__b", "a_", "a.b", "ä", &"a".repeat(33)] {
            let found = problems(&format!(r#"[{{"name":"{name}","command":["x"]}}]"#), "[]");
            assert!(found.contains("PLUE-P0084") && found.contains("wrong shape"), "{name:?}");
        }
        let twice = r#"[{"name":"a","command":["x"]},{"name":"a","command":["y"]}]"#;
        assert!(problems(twice, "[]").contains("two MCP servers"));
        assert!(problems("[]", r#"["mcp__a__b"]"#).contains("PLUE-P0049"));
    }
}
