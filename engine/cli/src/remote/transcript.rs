//! `plue transcript` of a run of a server.

use plue_api::records::{Page, told::StatusRecord, transcript::TranscriptRecord};

use super::{
    client::{Client, encoded},
    logs::{chosen, known_step, whose},
};
use crate::{
    app::App,
    commands::transcript::{Shown, TranscriptArgs},
    failure::Outcome,
};

pub(super) async fn run(client: &Client, args: &TranscriptArgs, app: &App) -> Outcome {
    let run = client.one_run(&args.run).await?.id;
    if let Some(step) = &args.step {
        let told: StatusRecord = client.get(&format!("/api/v1/runs/{run}/status")).await?;
        known_step(&told, step)?;
    }
    let step = args.step.as_deref();
    let mut shown = Shown::default();
    for attempt in chosen(client, &run, step, (args.visit, args.attempt)).await? {
        let mut path =
            format!("/api/v1/runs/{run}/attempts/{}/transcript?limit=200", encoded(&attempt.id));
        if let Some(text) = &args.search {
            path.push_str(&format!("&q={}", encoded(text)));
        }
        let mut cursor = String::new();
        loop {
            let page: Page<TranscriptRecord> = client.get(&format!("{path}{cursor}")).await?;
            page.items.into_iter().for_each(|record| shown.take(&whose(&attempt), record));
            let Some(next) = page.next else { break };
            cursor = format!("&cursor={}", encoded(&next));
        }
    }
    shown.print(args, app, &run)
}
