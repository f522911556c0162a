//! From `[login]` of the configuration to the login of a server. Incomplete or unknown settings refuse
//! the start, so that no rule is ever misread.

use plue_api::{
    Login, Role,
    login::{Rule, Who},
    scope::is_repo_name,
};
use plue_login::{ClientSecret, Issuer, Settings};
use plue_runtime::Clock;

use crate::{
    config::{LoginConfig, LoginRule},
    failure::Failure,
};

/// Rules at most: each request of a person looks at all of them.
const MAX_RULES: usize = 1_000;
/// Bytes of a file with a secret.
const MAX_SECRET: u64 = 16 * 1024;

/// The login of the server at this address; `None` if no issuer is set.
pub(super) fn login(
    config: &LoginConfig,
    address: &str,
    clock: Clock,
) -> Result<Option<Login>, Failure> {
    let Some(issuer) = &config.issuer else {
        if config.client_id.is_some() || !config.rules.is_empty() {
            return Err(Failure::usage(
                "login.issuer is missing, but other keys of [login] are set",
            ));
        }
        return Ok(None);
    };
    let missing = |key: &str, why: &str| Failure::usage(format!("{key} is missing: {why}"));
    let client_id = config.client_id.clone();
    let client_id = client_id
        .ok_or_else(|| missing("login.client_id", "the issuer gives one for each client"))?;
    if config.rules.is_empty() {
        return Err(missing("login.rules", "no user could log in")
            .hint("[[login.rules]] with group, email or subject, role, and perhaps repo"));
    }
    if config.rules.len() > MAX_RULES {
        return Err(Failure::usage(format!("login.rules has more than {MAX_RULES} rules")));
    }
    let rules = config.rules.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    let settings = Settings {
        issuer: issuer.clone(),
        client_id,
        client_secret: secret(config)?,
        scopes: config.scopes.clone(),
        name_claim: config.name_claim.clone(),
        groups_claim: config.groups_claim.clone(),
        redirect_uri: format!("{}/login/callback", address.trim_end_matches('/')),
        allow_http: config.allow_http,
    };
    let issuer = Issuer::new(settings, clock).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Some(Login::new(issuer, rules)))
}

fn secret(config: &LoginConfig) -> Result<Option<ClientSecret>, Failure> {
    let Some(path) = &config.client_secret_file else { return Ok(None) };
    let refused =
        |why: String| Failure::usage(format!("login.client_secret_file {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if size > MAX_SECRET {
        return Err(refused(format!("more than {MAX_SECRET} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let secret = ClientSecret::new(&text).ok_or_else(|| refused("it is empty".to_owned()))?;
    Ok(Some(secret))
}

fn rule(rule: &LoginRule) -> Result<Rule, Failure> {
    let refused = |why: String| Failure::usage(format!("login.rules: {why}"));
    let who = match (&rule.group, &rule.email, &rule.subject) {
        (Some(group), None, None) if !group.is_empty() => Who::Group(group.clone()),
        (None, Some(email), None) if !email.is_empty() => Who::Email(email.clone()),
        (None, None, Some(subject)) if !subject.is_empty() => Who::Subject(subject.clone()),
        _ => return Err(refused("a rule names one of group, email and subject".to_owned())),
    };
    let role: Role = rule.role.parse().map_err(refused)?;
    if let Some(repo) = rule.repo.as_ref().filter(|repo| !is_repo_name(repo)) {
        return Err(refused(format!("repo is {repo:?}, expected owner/name")));
    }
    Ok(Rule { who, role, repo: rule.repo.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rules: &str) -> LoginConfig {
        let text = format!("rules = [{rules}]");
        let table: toml::Table = toml::from_str(&text).unwrap();
        LoginConfig {
            issuer: Some("https://id.example".to_owned()),
            client_id: Some("plue".to_owned()),
            rules: table["rules"].clone().try_into().unwrap(),
            ..LoginConfig::default()
        }
    }

    fn refusal(config: &LoginConfig) -> Option<String> {
        let made = login(config, "https://ci.example/", Clock::real());
        made.err().map(|failure| failure.diagnostics[0].message.clone())
    }

    #[test]
    fn unknown_rules_refuse_the_server() {
        let good = r#"{group = "dev", role = "writer", repo = "acme/app"}"#;
        assert_eq!(refusal(&config(good)), None);
        for (rules, why) in [
            ("", "login.rules is missing"),
            (r#"{role = "admin"}"#, "one of group, email and subject"),
            (r#"{group = "", role = "admin"}"#, "one of group, email and subject"),
            (r#"{group = "a", email = "b", role = "admin"}"#, "one of group, email and subject"),
            (r#"{group = "a", role = "root"}"#, "no role"),
            (r#"{group = "a", role = "admin", repo = "*"}"#, "expected owner/name"),
        ] {
            let message = refusal(&config(rules)).unwrap();
            assert!(message.contains(why), "{rules}: {message}");
        }
    }

    #[test]
    fn half_a_configuration_is_none() {
        let good = config(r#"{subject = "1", role = "admin"}"#);
        for (half, why) in [
            (LoginConfig { issuer: None, ..good.clone() }, "login.issuer is missing"),
            (LoginConfig { client_id: None, ..good.clone() }, "login.client_id is missing"),
            (
                LoginConfig { issuer: Some("http://id.example".to_owned()), ..good.clone() },
                "must be https",
            ),
            (
                LoginConfig { client_secret_file: Some("/no/where".into()), ..good.clone() },
                "client_secret_file /no/where",
            ),
        ] {
            let message = refusal(&half).unwrap();
            assert!(message.contains(why), "{why}: {message}");
        }
        let none = login(&LoginConfig::default(), "http://127.0.0.1:1", Clock::real());
        assert!(none.unwrap().is_none());
    }
}
