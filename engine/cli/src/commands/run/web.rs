//! `plue run --web`: the dashboard of this machine, served by the command of the run.
//!
//! Must not listen on an address that other machines reach, and must not start or continue another run.

use std::net::{Ipv4Addr, SocketAddr};

use plue_api::{
    client::Proxies,
    listen::{self, Entrance},
    router,
};
use plue_executor::Engine;
use plue_plan::RunId;
use plue_runtime::{Clock, Phase, Shutdown, Tasks, tasks::Task};
use tokio::net::TcpListener;

use crate::{
    app::App,
    attach::Interrupts,
    browser::{self, Target},
    connect::{self, ApiOptions},
    failure::Failure,
    output,
};

/// Connections at the same time: the tabs of one person.
const MAX_CONNECTIONS: usize = 256;

/// The pages while they are served; dropped, they are gone.
pub(super) struct Web {
    shutdown: Shutdown,
    served: Task<()>,
    interrupts: Interrupts,
}

// === impl Web ===

impl Web {
    /// Serves the pages of this machine at a free port, and opens the page of the run.
    ///
    /// # Errors
    /// No port is free; the database refuses the link.
    pub(super) async fn open(app: &App, engine: &Engine, run: &RunId) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::infrastructure(&error);
        let store = engine.store();
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(free).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let ((shutdown, stop), tasks) = (Shutdown::new(), Tasks::new());
        let runs = connect::local_runs(app, store.clone(), None);
        let options = ApiOptions { runs, keys: None, tasks: tasks.clone(), stop: stop.clone() };
        let routes = router(connect::api(app, options)?);
        let entrance =
            Entrance { listener, max_connections: MAX_CONNECTIONS, proxies: Proxies::default() };
        let serving = listen::serve(entrance, routes, stop, tasks.clone(), Clock::real());
        let served = tasks.owned("serve the page of a run", serving);
        let interrupts = Interrupts::listen()?;
        let to = format!("/runs/{run}");
        browser::offer(app, Target { store, address, to: &to }, true).await?;
        Ok(Self { shutdown, served, interrupts })
    }

    /// Serves the pages of the ended run until an interrupt.
    pub(super) async fn stay(mut self) {
        output::report("the run has ended; its page stays open until you press Ctrl-C");
        self.interrupts.next().await;
        self.shutdown.advance(Phase::Draining);
        let _ended = self.served.ended().await;
    }
}
