//! The Claude client of this process: key and address from the environment, as the official SDKs read
//! them, the rest from the configuration. Must not show the key.

use std::sync::Arc;

use plue_executor::claude::{Claude, DEFAULT_MODEL, PeriodLimits, SpendLimits};
use plue_llm::{Client, ClientOptions, Credential, PicoUsd, PriceList, client::DEFAULT_BASE_URL};
use plue_plan::Diagnostic;
use plue_runtime::{Clock, Ids};

use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, codes},
};

/// The variable of the official SDKs that is set, and what it holds.
pub fn credential(app: &App) -> Option<(&'static str, Credential)> {
    let (key, token) = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN");
    let get = |name| app.environment.get(name);
    let key = get(key).map(|value| (key, Credential::ApiKey(value.into())));
    key.or_else(|| get(token).map(|value| (token, Credential::Token(value.into()))))
}

/// The address of the API.
pub fn base_url(app: &App) -> String {
    app.environment.get("ANTHROPIC_BASE_URL").unwrap_or_else(|| DEFAULT_BASE_URL.to_owned())
}

/// Client, model, prices and budgets of Claude steps. Without an API key or token there is no client.
///
/// # Errors
/// The key, the address, a price or a budget of the configuration cannot be used.
pub fn claude(app: &App) -> Result<Claude, Failure> {
    let config = &app.loaded.config.claude;
    let (mut client, mut masks) = (None, Vec::new());
    if let Some((name, credential)) = credential(app) {
        let options = ClientOptions { base_url: base_url(app), ..ClientOptions::default() };
        let made = Client::new(&credential, options, Clock::real(), Ids::random());
        client = Some(made.map_err(|error| refused(name, &error.to_string()))?);
        let (Credential::ApiKey(key) | Credential::Token(key)) = &credential;
        masks.push(key.trim().as_bytes().to_vec());
    }
    Ok(Claude {
        client,
        model: config.model.clone().unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
        prices: Arc::new(prices(app)?),
        fetch_hosts: config.fetch_hosts.clone(),
        masks,
        limits: SpendLimits {
            workflow: PeriodLimits {
                day: budget("claude.workflow_budget_day", config.workflow_budget_day)?,
                month: budget("claude.workflow_budget_month", config.workflow_budget_month)?,
            },
            repository: PeriodLimits {
                day: budget("claude.budget_day", config.budget_day)?,
                month: budget("claude.budget_month", config.budget_month)?,
            },
            organisation: PeriodLimits {
                day: budget("claude.organisation_budget_day", config.organisation_budget_day)?,
                month: budget(
                    "claude.organisation_budget_month",
                    config.organisation_budget_month,
                )?,
            },
        },
    })
}

fn prices(app: &App) -> Result<PriceList, Failure> {
    let bad = |why: String| refused("claude.prices", &why);
    let shipped = PriceList::shipped().map_err(|error| bad(error.to_string()))?;
    let Some(path) = &app.loaded.config.claude.prices else { return Ok(shipped) };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| bad(format!("{}: {error}", path.display())))?;
    let own = PriceList::parse(&text);
    let own = own.map_err(|error| bad(format!("{}: {error}", path.display())))?;
    Ok(shipped.extended(own))
}

fn budget(key: &str, dollars: Option<f64>) -> Result<Option<PicoUsd>, Failure> {
    let Some(dollars) = dollars else { return Ok(None) };
    let amount = PicoUsd::from_usd(dollars);
    amount.map(Some).ok_or_else(|| refused(key, "it is no amount of dollars"))
}

fn refused(what: &str, why: &str) -> Failure {
    let diagnostic = Diagnostic::error(codes::CONFIG, format!("{what}: {why}"));
    Failure::new(Exit::Usage, diagnostic)
}
