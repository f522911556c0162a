//! Help: pages of the manual that the program brings along.

use axum::{extract::Path, response::Response};
use plue_dashboard::help;

use super::reader::Reader;
use crate::problem::Problem;

/// `GET /help`
pub(super) async fn list(reader: Reader) -> Response {
    reader.answer(Ok(help::list()))
}

/// `GET /help/NAME`
pub(super) async fn page(reader: Reader, Path(name): Path<String>) -> Response {
    let topic = help::find(&name).ok_or_else(|| Problem::not_found("page of the help", &name));
    reader.answer(topic.map(help::page))
}
