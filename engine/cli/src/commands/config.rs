//! `plue config show`: every value in force, and which layer set it.

use crate::{
    app::App,
    args::ConfigCommand,
    config::KEYS,
    exit::Exit,
    failure::{Failure, Outcome},
    output,
    records::{ConfigRecord, ConfigShown, SCHEMA_VERSION},
    render::table,
    terminal::Style,
};

pub(super) fn run(command: &ConfigCommand, app: &App) -> Outcome {
    let ConfigCommand::Show { origin, output } = command;
    let config = serde_json::to_value(&app.loaded.config)
        .map_err(|error| Failure::infrastructure(&error))?;
    let rows = KEYS.iter().map(|key| {
        let pointer = format!("/{}", key.name.replace('.', "/"));
        let value = config.pointer(&pointer).cloned().unwrap_or_default();
        // A database URL may hold a password.
        let value = match key.name {
            "database" | "server" => redacted(value),
            "token" if !value.is_null() => "***".into(),
            _ => value,
        };
        ConfigRecord { key: key.name, value, origin: app.origin(key.name).to_string() }
    });
    let document = ConfigShown { schema_version: SCHEMA_VERSION, config: rows.collect() };
    output::list(*output, &document, &document.config, || shown(&document.config, *origin, app))?;
    Ok(Exit::Ok)
}

fn shown(records: &[ConfigRecord], origin: bool, app: &App) -> String {
    let cells = records.iter().map(|record| {
        let text = match &record.value {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut row = vec![table::plain(record.key), table::plain(text)];
        if origin {
            row.push((record.origin.clone(), Style::Dim));
        }
        row
    });
    let head: &[&str] = if origin { &["KEY", "VALUE", "ORIGIN"] } else { &["KEY", "VALUE"] };
    table::render(head, &cells.collect::<Vec<_>>(), &app.stdout)
}

/// `postgres://user:secret@host/db` without the secret.
fn redacted(value: serde_json::Value) -> serde_json::Value {
    let Some(text) = value.as_str() else { return value };
    let hidden = text.split_once("://").and_then(|(scheme, rest)| {
        let (credentials, host) = rest.rsplit_once('@')?;
        let (user, _) = credentials.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}"))
    });
    hidden.map_or(value, serde_json::Value::String)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_password_of_a_database_is_not_shown() {
        assert_eq!(redacted(json!("postgres://u:p@ss@h/db")), json!("postgres://u:***@h/db"));
        assert_eq!(redacted(json!("sqlite:/x/plue.db")), json!("sqlite:/x/plue.db"));
        assert_eq!(redacted(json!(null)), json!(null));
    }
}
