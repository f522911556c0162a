//! Pages of operations: rights of each tab, as the API has them, and their rows.

use axum::response::Response;
use plue_dashboard::ops::{Frame, Tab};

use super::reader::Reader;
use crate::{
    access::{Need, Role},
    problem::Problem,
    session,
};

pub(super) mod audit;
pub(super) mod health;
pub(super) mod runners;
pub(super) mod schedules;
pub(super) mod secrets;
pub(super) mod tokens;
pub(super) mod usage;
pub(super) mod webhooks;

/// The right that a tab asks for: that of the route with the same content.
const fn need(tab: Tab) -> Need {
    match tab {
        Tab::Usage | Tab::Schedules | Tab::Webhooks => Need::Role(Role::Reader),
        Tab::Runners | Tab::Health => Need::Everywhere(Role::Reader),
        Tab::Secrets => Need::Role(Role::Maintainer),
        Tab::Tokens | Tab::Audit => Need::Everywhere(Role::Admin),
    }
}

/// `GET /operations`: the first tab that the reader may open.
pub(super) async fn first(reader: Reader) -> Response {
    let tab = Tab::ALL.iter().find(|tab| may_open(&reader, **tab));
    reader.redirect(Ok(tab.map_or("/runs", |tab| tab.path()).to_owned()))
}

fn may_open(reader: &Reader, tab: Tab) -> bool {
    need(tab).admits(Some(&reader.who)).is_ok()
}

/// The context of a tab, for a reader who may open it.
///
/// # Errors
/// The reader may not open it.
pub(super) fn frame(reader: &Reader, tab: Tab) -> Result<Frame, Problem> {
    need(tab).admits(Some(&reader.who))?;
    let tabs = Tab::ALL.iter().copied().filter(|tab| may_open(reader, *tab));
    Ok(Frame { tabs: tabs.collect(), csrf: session::csrf(&reader.secret), done: None })
}
