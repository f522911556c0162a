//! The notifier: commit statuses and comments for forges, and outgoing webhooks.
//!
//! The intake stores the content of a report (`report_content`) together with the runs; the current state of
//! each plan is read when the report is sent (`standing`); `forge_reports` sends the newest state to the
//! forge. Must not decide which plans run.

mod forge_reports;
mod forge_writer;
pub(crate) mod report_content;
mod standing;
pub mod webhooks;

use plue_executor::reach::Guard;
use plue_store::{Store, secret::Keyring};

pub(crate) use self::{
    forge_writer::ForgeChanges,
    report_content::{DispatchOutcome, ReportContent, ReportEntry, put_report},
};
use crate::{
    notifier::webhooks::Sender,
    process::{Process, SupervisedLoop},
    secrets::Credentials,
    services::Services,
};

/// Settings of the notifier.
#[derive(Debug, Clone)]
pub(crate) struct NotifierOptions {
    /// Address of this server for people, the base of links.
    pub(crate) public_url: Option<String>,
    /// Opens the signing secrets of webhooks; `None`: no webhook is sent.
    pub(crate) keys: Option<Keyring>,
    /// Addresses that webhooks may have.
    pub(crate) reach: Guard,
}

/// Reports runs to forges and webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Notifier {
    store: Store,
    credentials: Credentials,
    public_url: Option<String>,
    webhooks: Sender,
    process: Process,
}

// === impl Notifier ===

impl Notifier {
    pub(crate) fn new(options: NotifierOptions, services: &Services) -> Self {
        let NotifierOptions { public_url, keys, reach } = options;
        let (store, process) = (services.store.clone(), services.process.clone());
        let webhooks = Sender {
            store: store.clone(),
            keys,
            guard: reach,
            clock: process.clock,
            ids: process.ids.clone(),
            tasks: process.tasks.clone(),
            watchdog: process.watchdog.clone(),
            public_url: public_url.clone(),
        };
        Self { store, credentials: services.credentials.clone(), public_url, webhooks, process }
    }

    /// Runs until the server stops.
    pub(crate) async fn run(&self) {
        let notifier = self.clone();
        let (sender, stop) = (self.webhooks.clone(), self.process.stop.clone());
        let loops = vec![
            SupervisedLoop::new("forge reports", move || {
                let notifier = notifier.clone();
                async move { notifier.report_to_forges().await }
            }),
            SupervisedLoop::new("webhooks", move || {
                let (sender, stop) = (sender.clone(), stop.clone());
                async move { sender.run(&stop).await }
            }),
        ];
        self.process.supervise(loops).await;
    }
}
