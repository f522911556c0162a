//! `plue config show`: every value in force, and which layer set it.

use serde_json::json;

use crate::{
    app::App,
    args::{ConfigCommand, Format},
    config::KEYS,
    exit::Exit,
    failure::{Failure, Outcome},
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
        let value = if key.name == "database" { redacted(value) } else { value };
        (key, value, app.origin(key.name).to_string())
    });
    match output {
        Format::Table => {
            let cells = rows.map(|(key, value, from)| {
                let text = match value {
                    serde_json::Value::Null => "-".to_owned(),
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                let mut row = vec![table::plain(key.name), table::plain(text)];
                if *origin {
                    row.push((from, Style::Dim));
                }
                row
            });
            let head: &[&str] = if *origin { &["KEY", "VALUE", "ORIGIN"] } else { &["KEY", "VALUE"] };
            print!("{}", table::render(head, &cells.collect::<Vec<_>>(), &app.stdout));
        }
        Format::Json => {
            let all: Vec<_> = rows.map(|(key, value, from)| entry(key.name, &value, &from)).collect();
            println!("{}", json!({ "schema_version": 1, "config": all }));
        }
        Format::Jsonl => {
            rows.for_each(|(key, value, from)| println!("{}", entry(key.name, &value, &from)));
        }
    }
    Ok(Exit::Ok)
}

fn entry(key: &str, value: &serde_json::Value, origin: &str) -> serde_json::Value {
    json!({ "key": key, "value": value, "origin": origin })
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
    use super::*;

    #[test]
    fn the_password_of_a_database_is_not_shown() {
        assert_eq!(redacted(json!("postgres://u:p@ss@h/db")), json!("postgres://u:***@h/db"));
        assert_eq!(redacted(json!("sqlite:/x/plue.db")), json!("sqlite:/x/plue.db"));
        assert_eq!(redacted(json!(null)), json!(null));
    }
}
