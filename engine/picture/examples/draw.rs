//! Draws a plan: `cargo run -p plue-picture --example draw -- svg < plan.json`.
//!
//! A tool for those who work on the pictures; must not become a command of plue.

use std::io::{Read as _, Write as _, stdin, stdout};

use plue_picture as picture;
use plue_plan::Plan;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes)?;
    let plan = Plan::from_json(&bytes).map_err(|problem| problem.to_string())?;
    let picture = match std::env::args().nth(1).as_deref() {
        Some("mermaid") => picture::mermaid(&plan),
        Some("dot") => picture::dot(&plan),
        Some("svg") => picture::svg(&plan),
        Some(_) | None => picture::text(&plan),
    };
    stdout().write_all(picture.as_bytes())?;
    Ok(())
}
