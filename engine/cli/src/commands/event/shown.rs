//! A decoded delivery for people.

use plue_forge::reading::Kind;

use crate::{
    app::App,
    records::event::Decoded,
    render::table,
    terminal::{Style, sanitize},
};

/// Renders the sender and kind of the event, its fields, and the triggers that fire.
pub(super) fn text(document: &Decoded, app: &App) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let name = format!("{name:<11}");
        let value = sanitize(value, false);
        text.push_str(&format!("{}{value}\n", app.stdout.paint(Style::Dim, &name)));
    };
    let Some(reading) = &document.reading else {
        field("answer", &format!("{} (refused)", document.http));
        field("delivery", &document.delivery);
        return text;
    };
    let action = reading.action.as_ref().map_or(String::new(), |action| format!(" ({action})"));
    field("event", &format!("{} {}{action}", reading.provider, reading.event));
    field("repository", reading.repository().unwrap_or("-"));
    field("sender", reading.sender.as_deref().unwrap_or("-"));
    for (name, value) in of_kind(&reading.kind) {
        field(name, &value);
    }
    field("answer", &document.http);
    field("delivery", &document.delivery);
    if let Some(signature) = &document.signature {
        field("signature", &format!("{signature} (its age is not checked here)"));
    }
    if let Some(ignored) = &document.ignored {
        field("ignored", ignored);
    }
    let rows: Vec<_> = document.triggers.iter().map(row).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table::render(&["FIRES", "TRIGGER", "PLAN", "WHY NOT"], &rows, &app.stdout));
    }
    text
}

fn row(tried: &crate::records::event::TriggerRecord) -> Vec<table::Cell> {
    let plan = match (&tried.plan, &tried.file) {
        (Some(plan), Some(file)) => format!("{plan} ({file})"),
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => "-".to_owned(),
    };
    let fires = if tried.fires { ("yes", Style::Green) } else { ("no", Style::Dim) };
    vec![
        (fires.0.to_owned(), fires.1),
        table::plain(&tried.trigger),
        table::plain(plan),
        table::plain(tried.why.clone().unwrap_or_default()),
    ]
}

fn of_kind(kind: &Kind) -> Vec<(&'static str, String)> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    match kind {
        Kind::Push(push) => {
            let what = match (push.change.created, push.change.deleted, push.change.forced) {
                (_, true, _) => " deleted",
                (true, ..) => " created",
                (.., Some(true)) => " forced",
                (.., Some(false) | None) => "",
            };
            let before = push.before.as_deref().unwrap_or("-");
            vec![
                ("ref", format!("{}{what}", push.git_ref)),
                ("commits", format!("{before} → {}, {} listed", push.after, push.commits)),
                ("builds", or_dash(&push.sha)),
            ]
        }
        Kind::PullRequest { pr, .. } => {
            let fork = match pr.from_fork {
                Some(true) => "from a fork",
                Some(false) => "from the repository itself",
                None => "origin unknown: treated as a fork",
            };
            let (head, base) = (or_dash(&pr.head_ref), or_dash(&pr.base_ref));
            vec![
                ("number", format!("{} {head} → {base}, {fork}", pr.number)),
                ("builds", or_dash(&pr.head_sha)),
            ]
        }
        Kind::Comment { number, on_pull_request, body } => {
            let on = if *on_pull_request { "pull request" } else { "issue" };
            let number = number.map_or("-".to_owned(), |number| number.to_string());
            vec![("comment", format!("on {on} {number}: {}", or_dash(body).replace('\n', " ")))]
        }
        Kind::Issue { number } => {
            vec![("issue", number.map_or("-".to_owned(), |number| number.to_string()))]
        }
        Kind::Release { tag } => vec![("tag", or_dash(tag))],
        Kind::Create(named) | Kind::Delete(named) => {
            vec![("ref", format!("{} {}", or_dash(&named.ref_type), or_dash(&named.git_ref)))]
        }
        Kind::Ping | Kind::Other => Vec::new(),
    }
}
