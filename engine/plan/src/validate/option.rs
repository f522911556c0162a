//! Options of steps of every kind: environment, secrets, retries, runners, caches, services.
//!
//! Must not judge values and expressions: the walk over all parts does.

use serde_json::Value as Json;

use crate::{
    artifacts::Artifacts,
    codes,
    duration::DurationText,
    limits,
    policy::{Budget, Cache, Retry, Service},
    step::StepOptions,
    validate::{
        pattern,
        report::{Quoted, Report, Site},
        text,
        value::MAX_EXACT,
    },
    value::{Node, Value},
};

pub(super) fn options(report: &mut Report, site: Site<'_>, options: &StepOptions) {
    if let Some(name) = &options.name {
        self::name(report, site, name);
    }
    for name in options.env.keys() {
        text::env_name(report, site, name);
    }
    for name in &options.secrets {
        text::secret_variable(report, site, name);
    }
    positive_duration(report, site, "timeout", options.timeout.as_ref());
    if let Some(again) = &options.retry {
        retry(report, site, again);
    }
    let place_of = (options.runner.as_deref(), options.image.as_deref());
    place(report, site, place_of);
    for (name, amount) in &options.resources {
        resource(report, site, name, amount);
    }
    if let Some(cwd) = &options.cwd {
        text::path(report, site, "`cwd`", cwd);
    }
    artifacts(report, site, &options.artifacts);
    if let Some(directory) = &options.cache {
        cache(report, site, directory);
    }
    for (at, service) in options.services.iter().enumerate() {
        self::service(report, site, service);
        let earlier = options.services.iter().take(at);
        if service.port != 0 && earlier.into_iter().any(|other| other.port == service.port) {
            let port = service.port;
            let message = format_args!("two services of the step have port {port}");
            report.push(
                site.error(codes::BAD_SERVICE, message).hint("give each service a port of its own"),
            );
        }
    }
}

/// The name of a step: text, which may hold references but no secret.
fn name(report: &mut Report, site: Site<'_>, name: &Value) {
    match (name.as_written(), name.node()) {
        (Some(written), _) => text::name(report, site, "the name", &written),
        (None, Node::Secret(secret)) => report.push(
            site.error(
                codes::SECRET_AS_NAME,
                format_args!("the name is the secret {}", Quoted(secret)),
            )
            .hint("a name is shown to everyone who sees the run; leave the secret out"),
        ),
        // The walk over all values reports it with its place.
        (None, Node::Malformed(_)) => {}
        (None, Node::Literal(_) | Node::Expr(_) | Node::Template(_)) => {
            report.push(site.error(codes::NOT_A_PLAN, "the name is no text"));
        }
    }
}

/// Pool and image of a plan or step.
pub(super) fn place(report: &mut Report, site: Site<'_>, of: (Option<&str>, Option<&str>)) {
    if let Some(pool) = of.0 {
        text::identifier(report, site, codes::BAD_RUNNER, "the runner pool", pool);
    }
    let Some(name) = of.1 else { return };
    if text::image(report, site, name) {
        report.push(
            site.error(
                codes::NO_CONTAINERS,
                format_args!("`image` is {}, but this plue starts no containers", Quoted(name)),
            )
            .hint("leave `image` out: steps use the tools of the runner's machine; a command may call `docker run` itself"),
        );
    }
}

/// A duration that is longer than nothing.
pub(super) fn positive_duration(
    report: &mut Report,
    site: Site<'_>,
    field: &str,
    duration: Option<&DurationText>,
) {
    let Some(text) = duration else { return };
    match text.parse() {
        Ok(length) if length.is_zero() => report.push(
            site.error(codes::BAD_DURATION, format_args!("`{field}` is zero"))
                .hint("leave it out for the default"),
        ),
        Ok(_) | Err(_) => self::duration(report, site, field, text),
    }
}

pub(super) fn duration(report: &mut Report, site: Site<'_>, field: &str, text: &DurationText) {
    let shown = Quoted(text.as_str());
    match text.parse() {
        Ok(_) => {}
        Err(crate::duration::DurationError::Form(_)) => report.push(
            site.error(codes::BAD_DURATION, format_args!("`{field}`: {shown} is no duration"))
                .hint(
                    "numbers with the units `d h m s ms` in this order, like \"90s\" or \"1h30m\"",
                ),
        ),
        Err(crate::duration::DurationError::TooLong(_)) => report.push(
            site.error(
                codes::BAD_DURATION,
                format_args!("`{field}`: {shown} is longer than 366 days"),
            )
            .hint("longer waits are schedules"),
        ),
    }
}

pub(super) fn budget(report: &mut Report, site: Site<'_>, budget: Option<&Budget>) {
    let Some(budget) = budget else { return };
    if let Some(usd) = budget.usd.filter(|usd| !(usd.is_finite() && *usd >= 0.0)) {
        report.push(site.error(
            codes::BAD_BUDGET,
            format_args!("the budget is {usd} dollars; it is 0 or more"),
        ));
    }
    if let Some(tokens) = budget.tokens.filter(|tokens| *tokens > MAX_EXACT) {
        report.push(site.error(
            codes::BAD_BUDGET,
            format_args!("the budget is {tokens} tokens; it is at most {MAX_EXACT}"),
        ));
    }
}

fn retry(report: &mut Report, site: Site<'_>, retry: &Retry) {
    let max = limits::MAX_ATTEMPTS;
    let attempts = retry.max_attempts;
    if attempts == 0 || attempts > max {
        report.push(
            site.error(
                codes::RETRY_ATTEMPTS,
                format_args!("`retry.max_attempts` is {attempts}; it is 1 to {max}"),
            )
            .hint("it counts all tries, the first included"),
        );
    }
    duration(report, site, "retry.delay", &retry.delay);
    if let Some(longest) = &retry.max_delay {
        duration(report, site, "retry.max_delay", longest);
    }
    if let Some(jitter) = retry.jitter.filter(|share| !(0.0..=1.0).contains(share)) {
        report.push(site.error(
            codes::RETRY_JITTER,
            format_args!("`retry.jitter` is {jitter}; it is a share from 0 to 1"),
        ));
    }
    for word in &retry.on {
        if !is_failure(word) {
            report.push_near(
                site.error(codes::RETRY_ON, format_args!("`retry.on` holds {}", Quoted(word))),
                word,
                ["infra", "timeout"].into_iter(),
                "the words are `infra`, `timeout` and `exit:N` with N from 1 to 255",
            );
        }
    }
}

fn is_failure(word: &str) -> bool {
    let exit = || {
        let code = word.strip_prefix("exit:")?;
        let digits = code.bytes().all(|b| b.is_ascii_digit()) && !code.starts_with('0');
        code.parse::<u8>().ok().filter(|_| digits)
    };
    matches!(word, "infra" | "timeout") || exit().is_some()
}

fn resource(report: &mut Report, site: Site<'_>, name: &str, amount: &Json) {
    text::identifier(report, site, codes::BAD_RESOURCE, "the resource", name);
    let fits = match amount {
        Json::Number(number) => number.as_f64().is_some_and(|n| n > 0.0),
        Json::String(text) => !text.trim().is_empty() && text.len() <= 64,
        Json::Array(labels) => {
            let is_text = |label: &Json| label.as_str().is_some_and(|text| !text.trim().is_empty());
            name == "labels" && !labels.is_empty() && labels.iter().all(is_text)
        }
        Json::Null | Json::Bool(_) | Json::Object(_) => false,
    };
    if !fits {
        report.push(
            site.error(
                codes::BAD_RESOURCE,
                format_args!(
                    "the resource {} is neither a positive number nor a text",
                    Quoted(name)
                ),
            )
            .hint("like `{\"cpu\": 2, \"memory\": \"4Gi\"}`"),
        );
    }
}

fn artifacts(report: &mut Report, site: Site<'_>, artifacts: &Artifacts) {
    let globs = &artifacts.paths;
    if globs.is_empty() && !artifacts.is_empty() {
        report.push(
            site.error(codes::BAD_PATH, "the artifacts have no paths")
                .hint("name the files that are kept: `paths=[\"dist/**\"]`"),
        );
    }
    pattern::patterns(report, site, "artifacts", globs);
    for glob in globs.iter().filter(|glob| glob.starts_with('/')) {
        text::path(report, site, "the artifact", glob);
    }
}

fn cache(report: &mut Report, site: Site<'_>, cache: &Cache) {
    if cache.paths.is_empty() {
        report.push(
            site.error(codes::BAD_PATH, "the cache has no paths")
                .hint("name the directories that it keeps: `paths=[\"target\"]`"),
        );
    }
    for path in &cache.paths {
        text::path(report, site, "the cache path", path);
        if let Some((why, hint)) = unsavable(path) {
            report.push(
                site.error(
                    codes::UNSAVABLE_CACHE,
                    format_args!("the cache path {} {why}", Quoted(path)),
                )
                .hint(hint),
            );
        }
    }
    for prefix in &cache.restore {
        text::plain(report, site, codes::EMPTY_COMMAND, "a prefix of `cache.restore`", prefix);
    }
}

/// The reason that nothing can ever be saved under a path of a cache, and a hint for its author.
fn unsavable(path: &str) -> Option<(&'static str, &'static str)> {
    let mut parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    if parts.clone().next().is_none() && !path.starts_with('/') && !path.is_empty() {
        return Some(("is the whole workspace", "name the folders to keep, like `node_modules`"));
    }
    if parts.any(|part| part == ".git") {
        return Some(("lies in `.git`, which is never kept", "name folders of the work tree"));
    }
    if path.contains('$') {
        let hint =
            "let the tool write into the workspace, like `npm ci --cache .npm`, and name `.npm`";
        return Some(("has a variable, which only a shell reads", hint));
    }
    if path.contains(['*', '?', '[', '{']) {
        return Some(("is a glob", "cache paths are names of files and folders; name the folder"));
    }
    None
}

fn service(report: &mut Report, site: Site<'_>, service: &Service) {
    // With a local pool this is a command, so it has no narrower shape.
    text::plain(report, site, codes::BAD_IMAGE, "the image of a service", &service.image);
    if service.port == 0 {
        report.push(
            site.error(
                codes::BAD_SERVICE,
                format_args!("the service {} has port 0", Quoted(&service.image)),
            )
            .hint("the TCP port that is open when the service is ready"),
        );
    }
    for name in service.env.keys() {
        text::env_name(report, site, name);
    }
}
