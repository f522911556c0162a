//! `plue transcript` of a run of a server.

use plue_api::records::{
    Page,
    told::StatusRecord,
    transcript::{AgentRecord, TranscriptRecord},
};

use super::{
    client::{Client, encoded},
    logs::{chosen, known_step, whose},
};
use crate::{
    app::App,
    commands::transcript::{Shown, TranscriptArgs, label},
    failure::{Failure, Outcome},
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
        let below = format!("/api/v1/runs/{run}/attempts/{}/agents", encoded(&attempt.id));
        let below: Page<AgentRecord> = client.get(&below).await?;
        let below = below.items.into_iter().map(|agent| (agent.id.clone(), Some(label(&agent))));
        for (id, agent) in std::iter::once((attempt.id.clone(), None)).chain(below) {
            let path = format!("/api/v1/runs/{run}/attempts/{}/transcript", encoded(&id));
            for record in facts(client, args, &path).await? {
                shown.take(&whose(&attempt), agent.as_deref(), record);
            }
        }
    }
    shown.print(args, app, &run)
}

/// The facts of one transcript, or those that were searched for.
async fn facts(
    client: &Client,
    args: &TranscriptArgs,
    path: &str,
) -> Result<Vec<TranscriptRecord>, Failure> {
    let mut path = format!("{path}?limit=200");
    if let Some(text) = &args.search {
        path.push_str(&format!("&q={}", encoded(text)));
    }
    let (mut records, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Page<TranscriptRecord> = client.get(&format!("{path}{cursor}")).await?;
        records.extend(page.items);
        let Some(next) = page.next else { return Ok(records) };
        cursor = format!("&cursor={}", encoded(&next));
    }
}
