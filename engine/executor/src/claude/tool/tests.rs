//! Names of tools, and the tools of subagents.

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
fn agents_are_named_with_their_role_or_prompt() {
    let names = ["delegate(reviewer)", "prompt( code-review )", "delegate(reviewer)", "read"];
    let tools = named(&texts(&names), &[], &[]).unwrap();
    let review = || Starter::Prompt("code-review".to_owned());
    assert_eq!(tools.starts, [Starter::Role("reviewer".to_owned()), review()]);
    for name in ["delegate", "prompt", "delegate()", "prompt( )", "delegate(a", "delegate(a b)"] {
        let error = offered(&[name]).unwrap_err();
        assert!(error.contains("PLUE-L0020"), "{name}: {error}");
    }
    assert!(offered(&["delegate"]).unwrap_err().contains("write `delegate(reviewer)`"));
    let many: Vec<String> = (0..17).map(|n| format!("delegate(r{n})")).collect();
    assert!(named(&many, &[], &[]).unwrap_err().contains("17 roles"));
    assert!(offered(&["delegated(x)"]).unwrap_err().contains("PLUE-L0012"));
}

#[test]
fn subagents_get_the_common_tools() {
    let within = |above: &[&str], own: &[&str]| {
        let above = named(&texts(above), &[], &[]).unwrap();
        let tools = Tools::within(&above, &texts(own), &[]).unwrap();
        let names: Vec<_> = tools.offers.iter().map(|offer| offer.name.clone()).collect();
        (names.join(" "), tools)
    };
    assert_eq!(within(&["read", "bash"], &["bash", "write"]).0, "bash");
    assert_eq!(within(&[], &["bash", "fetch"]).0, "");
    let (names, tools) = within(&["bash"], &["mcp__github", "mcp__github__search", "bash"]);
    assert_eq!((names.as_str(), tools.servers), ("bash", Vec::new()));
    assert_eq!(within(&["bash"], &[]).0, "");
    let (names, tools) = within(&["git", "read"], &["git_diff", "git_commit"]);
    assert_eq!((names.as_str(), git_commands(&tools.offers[0])), ("git", vec!["diff", "commit"]));
    let (_, tools) = within(&["git_diff", "git_log"], &["git"]);
    assert_eq!(git_commands(&tools.offers[0]), ["diff", "log"]);
    assert_eq!(within(&["git_diff"], &["git_commit"]).0, "");
    // The runner has one list of hosts for all agents of an attempt.
    assert_eq!(within(&["fetch(a.example)"], &["fetch(a.example)", "fetch(b.example)"]).0, "fetch");
    let two = ["fetch(a.example)", "fetch(b.example)"];
    assert_eq!(within(&two, &["fetch(a.example)"]).0, "");
    let (_, tools) =
        within(&["delegate(a)", "prompt(b)"], &["delegate(a)", "delegate(b)", "prompt(a)"]);
    assert_eq!(tools.starts, [Starter::Role("a".to_owned())]);
}

#[test]
fn unknown_names_are_errors() {
    for name in ["shell", "git_push", "git_", "Git", "bash ", "", "submit_output", "bash_read"] {
        let error = offered(&["read", name]).unwrap_err();
        assert!(error.contains("PLUE-L0012"), "{name}: {error}");
    }
}
