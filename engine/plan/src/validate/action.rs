//! Rules for one kind of step only.
//!
//! Must not judge values and expressions: the walk over all parts does.

use crate::{
    action::{Action, Approval, Bash, Call, Negotiate, Python, Wait, Workflow},
    codes,
    shown::is_invisible,
    validate::{
        forge, llm, option,
        report::{Quoted, Report, Site},
        text, trigger, value,
    },
    value::Node,
};

pub(super) fn action(report: &mut Report, site: Site<'_>, action: &Action) {
    match action {
        Action::Bash(bash) => self::bash(report, site, bash),
        Action::Python(python) => self::python(report, site, python),
        Action::Llm(llm) => llm::llm(report, site, llm),
        Action::Approval(approval) => self::approval(report, site, approval),
        Action::Negotiate(negotiate) => self::negotiate(report, site, negotiate),
        Action::Workflow(workflow) => self::workflow(report, site, workflow),
        Action::Call(call) => self::call(report, site, call),
        Action::Wait(wait) => self::wait(report, site, wait),
        Action::Plugin(plugin) => {
            text::identifier(report, site, codes::BAD_NAME, "the plugin kind", &plugin.plugin);
            if plugin.plugin == forge::FORGE {
                forge::forge(report, site, &plugin.config);
            }
        }
    }
}

fn bash(report: &mut Report, site: Site<'_>, bash: &Bash) {
    value::command(report, site, "`run`", &bash.run);
    if !matches!(bash.shell.as_str(), "bash" | "sh") {
        report.push(
            site.error(codes::BAD_SHELL, format_args!("the shell is {}", Quoted(&bash.shell)))
                .hint("`bash` or `sh`; other programs are called by the command itself"),
        );
    }
}

fn python(report: &mut Report, site: Site<'_>, python: &Python) {
    match (&python.code, &python.script) {
        (Some(code), None) => value::command(report, site, "`code`", code),
        (None, Some(script)) => text::path(report, site, "`script`", script),
        (both, _) => {
            let count = if both.is_some() { "both" } else { "none" };
            report.push(
                site.error(
                    codes::PYTHON_SOURCE,
                    format_args!("a `python` step has {count} of `code` and `script`"),
                )
                .hint("it has exactly one: the program's text, or a file of the repository"),
            );
        }
    }
    for arg in &python.args {
        arg.visit(&mut |node| {
            if let Node::Secret(name) = node {
                report.push(
                    site.error(
                        codes::SECRET_ARGUMENT,
                        format_args!("`args` holds the secret {}", Quoted(name)),
                    )
                    .hint(format!(
                        "arguments are visible to other processes; name it in `secrets` and read os.environ[{name:?}]"
                    )),
                );
            }
        });
    }
    let Some(call) = &python.call else { return };
    if python.code.is_none() {
        report.push(
            site.error(codes::PYTHON_CALL, "`call` needs `code`, which defines the function"),
        );
    }
    let starts = call.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if !starts || !call.chars().all(|c| c.is_alphanumeric() || c == '_') {
        report.push(site.error(
            codes::PYTHON_CALL,
            format_args!("`call` {} is not the name of a function", Quoted(call)),
        ));
    }
}

fn approval(report: &mut Report, site: Site<'_>, approval: &Approval) {
    if let Some(message) = &approval.message
        && let Node::Literal(serde_json::Value::String(text)) = message.node()
    {
        value::large(report, site, "`message`", text);
    }
    for approver in &approval.approvers {
        text::plain(report, site, codes::BAD_QUORUM, "an approver", approver);
    }
    let quorum = approval.quorum;
    if quorum == 0 {
        report.push(site.error(codes::BAD_QUORUM, "the quorum is 0; it is 1 or more"));
    }
    let people = different(&approval.approvers);
    if people > 0 && usize::try_from(quorum).is_ok_and(|quorum| quorum > people) {
        report.push(
            site.error(
                codes::BAD_QUORUM,
                format_args!("the quorum is {quorum}, but only {people} may answer"),
            )
            .hint("name more approvers, or lower the quorum"),
        );
    }
}

fn negotiate(report: &mut Report, site: Site<'_>, negotiate: &Negotiate) {
    for party in &negotiate.parties {
        text::plain(report, site, codes::BAD_PARTIES, "a party", party);
    }
    let parties = different(&negotiate.parties);
    if parties < 2 || parties < negotiate.parties.len() {
        report.push(
            site.error(codes::BAD_PARTIES, "a negotiation has two or more different parties")
                .hint("one party that decides alone is an `approval` step"),
        );
    }
    if negotiate.rounds == Some(0) {
        report.push(site.error(codes::BAD_PARTIES, "`rounds` is 0; it is 1 or more"));
    }
    let Some(accept) = &negotiate.accept else {
        return;
    };
    let quorum = accept.strip_prefix("quorum:").map(str::parse::<usize>);
    let fits = match quorum {
        Some(Ok(needed)) => (1..=parties).contains(&needed),
        Some(Err(_)) => false,
        None => matches!(accept.as_str(), "all" | "owner"),
    };
    if !fits {
        report.push(
            site.error(codes::BAD_ACCEPT, format_args!("`accept` is {}", Quoted(accept)))
                .hint(format!("`all`, `owner`, or `quorum:k` with k from 1 to {parties}")),
        );
    }
}

fn different(names: &[String]) -> usize {
    names.iter().collect::<std::collections::BTreeSet<_>>().len()
}

fn workflow(report: &mut Report, site: Site<'_>, workflow: &Workflow) {
    if workflow.workflow.is_some() == workflow.plan.is_some() {
        report.push(
            site.error(
                codes::WORKFLOW_SOURCE,
                "a `workflow` step has not exactly one of `workflow` and `plan`",
            )
            .hint("the name of a registered workflow, or a plan that an earlier step put out"),
        );
    }
    if let Some(name) = &workflow.workflow {
        text::name(report, site, "the workflow's name", name);
    }
    for name in workflow.inputs.keys() {
        text::identifier(report, site, codes::BAD_NAME, "the input", name);
    }
}

fn call(report: &mut Report, site: Site<'_>, call: &Call) {
    if let Some(method) = &call.method {
        let fits =
            (1..=32).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase());
        if !fits {
            report.push(
                site.error(codes::BAD_METHOD, format_args!("the method is {}", Quoted(method)))
                    .hint("upper-case letters, like `POST`"),
            );
        }
    }
    url(report, site, &call.url);
    for name in call.headers.keys() {
        if !is_header(name) {
            report.push(site.error(
                codes::BAD_URL,
                format_args!("{} is not the name of an HTTP header", Quoted(name)),
            ));
        }
    }
}

/// True if a text is the name of a header (RFC 9110 §5.1).
pub(super) fn is_header(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.len() <= 256 && name.chars().all(token)
}

fn url(report: &mut Report, site: Site<'_>, url: &crate::Value) {
    let fits = match url.node() {
        // The value of an expression is checked at run time.
        Node::Expr(_) | Node::Template(_) | Node::Secret(_) | Node::Malformed(_) => return,
        Node::Literal(serde_json::Value::String(text)) => is_http(text),
        Node::Literal(_) => false,
    };
    if !fits {
        report.push(
            site.error(codes::BAD_URL, "`url` is no HTTP address")
                .hint("like `https://host.example/path`"),
        );
    }
}

pub(super) fn is_http(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://"));
    let plain = |c: char| !c.is_whitespace() && !is_invisible(c) && c != '\\';
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', '?', '#', ':', '@'])
            && rest.len() <= 8_192
            && rest.chars().all(plain)
    })
}

fn wait(report: &mut Report, site: Site<'_>, wait: &Wait) {
    if wait.event.is_some() == wait.duration.is_some() {
        report.push(
            site.error(
                codes::WAIT_SOURCE,
                "a `wait` step has not exactly one of `event` and `duration`",
            )
            .hint("what it waits for, or how long"),
        );
    }
    if let Some(event) = &wait.event {
        trigger::shape(report, site, event);
    }
    if let Some(length) = &wait.duration {
        option::duration(report, site, "duration", length);
    }
}
