//! The one owner of a runner's state: a loop over connection, attempts, children, signals, time.
//!
//! Nothing else touches claims, outboxes or the connection. Must never wait for anything but its
//! own `select!`: while it waits, nobody is stopped in time.

mod agents;
mod forking;
mod held;
mod keeping;
mod reaping;
mod session;
mod ticking;

use std::{
    collections::HashMap, ffi::OsString, future::Future, io, path::Path, pin::Pin, time::Duration,
};

use plue_plan::AttemptId;
use plue_runtime::{Clock, Ids, Tasks, clock::Mark, mask::RunMasks};
use plue_wire::runner::{Assign, FromRunner};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use self::{agents::Agents, forking::Interpreter, held::Held, reaping::Children, ticking::Leaving};
use crate::{
    Error,
    attempt::{Report, stopping::Order},
    boot,
    claims::Claims,
    keeper::{
        Places,
        desk::{Ask, Desk},
    },
    leftovers,
    link::{Dial, Link, Pauses, Turn, dial_after},
    options::Options,
    outbox::Outbox,
    system::Reaped,
    workspace::Workspace,
};

/// Reports of attempts that wait for the dispatcher.
const MAX_REPORTS: usize = 64;

/// A runner. See the module.
#[derive(Debug)]
pub struct Runner<D: Dial> {
    options: Options,
    token: String,
    boot: String,
    dial: D,
    clock: Clock,
    ids: Ids,
    tasks: Tasks,
    workspace: Workspace,
    claims: Claims,
    held: HashMap<AttemptId, Held>,
    /// Assignments that wait until an older one of the same attempt is gone.
    superseding: HashMap<AttemptId, Box<Assign>>,
    /// Assignments whose workspace is being prepared.
    preparing: HashMap<AttemptId, Box<Assign>>,
    /// Secrets that every attempt masks: those of the run, and of attempts before.
    masks: RunMasks,
    desk: Desk,
    agents: Agents,
    children: Children,
    interpreter: Interpreter,
    connection: Connection<D::Stream>,
    pauses: Pauses,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    leaving: Leaving,
    /// When the engine was last heard.
    heard: Mark,
    connected: Mark,
    last_beat: Mark,
    beat_every: Duration,
    last_tick: Mark,
    /// Since when there has been neither engine nor work.
    lonely_since: Option<Mark>,
}

type Dialing<S> = Pin<Box<dyn Future<Output = io::Result<S>>>>;

enum Connection<S> {
    Down(Dialing<S>),
    Up { link: Link<S>, is_welcome: bool },
}

/// The signals that a runner takes.
struct Signals {
    child: Signal,
    terminate: Signal,
    /// Taken and ignored; as handlers, so that steps start with the defaults.
    interrupt: Signal,
    hangup: Signal,
}

/// What woke the dispatcher.
enum Wake<S> {
    Connected(io::Result<S>),
    Turned(io::Result<Turn>),
    Report(Report),
    Asked(Ask),
    Child,
    Forked(io::Result<Reaped>),
    Terminate,
    Ignored,
    Time,
}

// === impl Runner ===

impl<D: Dial + Clone + 'static> Runner<D> {
    /// Takes possession of the directories and of what earlier processes left in them.
    /// `environment` is what steps may inherit from.
    ///
    /// # Errors
    /// The directories cannot be used, or another runner uses them.
    pub fn open(
        options: Options,
        token: String,
        dial: D,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let (clock, ids) = (Clock::real(), Ids::random());
        let named = &options.inherit;
        let workspace = Workspace::open(&options.workspace, &options.state, environment, named)?;
        let (claims, open) = Claims::open(&options.state.join("claims"))?;
        workspace.sweep(&open);
        let mut held = HashMap::new();
        for claim in open {
            let outbox = Outbox::load(claim.clone(), workspace.spill(&claim))?;
            let entry = Held::found(claim.clone(), outbox, &clock, options.buffer_bytes);
            held.insert(claim.attempt, entry);
        }
        let places = Places {
            root: workspace.root.clone(),
            scratch: workspace.folder().to_owned(),
            index: options.index.clone(),
        };
        let interpreter = Interpreter::new(options.warm_python);
        let mut pauses = Pauses::new(ids.clone(), D::LONGEST_PAUSE);
        let connection = Connection::dial(&dial, clock, pauses.next());
        let boot = boot::identity(&options.state, &ids)?;
        let mark = clock.mark();
        Ok(Self {
            options,
            token,
            boot,
            dial,
            clock,
            ids,
            tasks: Tasks::new(),
            workspace,
            claims,
            held,
            superseding: HashMap::new(),
            preparing: HashMap::new(),
            masks: RunMasks::default(),
            desk: Desk::new(places, clock),
            agents: Agents::default(),
            children: Children::default(),
            interpreter,
            connection,
            pauses,
            reports: mpsc::channel(MAX_REPORTS),
            leaving: Leaving::No,
            heard: mark,
            connected: mark,
            last_beat: mark,
            beat_every: Duration::from_millis(plue_wire::runner::HEARTBEAT_MS),
            last_tick: mark,
            lonely_since: None,
        })
    }

    /// Serves until the engine or a signal ends it, or nobody needs it any more. Must run on a
    /// current-thread Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Dismissed`] when the engine does not want this runner; otherwise a broken disk.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut signals = Signals::new()?;
        self.end_the_past().await;
        let outcome = self.serve(&mut signals).await;
        for held in self.held.values_mut() {
            held.give(Order::Abandon);
            held.persist();
        }
        self.last_words().await;
        outcome?;
        self.leave_nothing().await
    }

    /// Kills what steps have left behind. Orphans become children of this process, wherever they
    /// went and whatever their environment is, so that without a child there is no descendant.
    async fn leave_nothing(&mut self) -> Result<(), Error> {
        const ROUNDS: u32 = 1_000;
        for _ in 0..ROUNDS {
            self.children.reap();
            if leftovers::kill_children() == 0 {
                return Ok(());
            }
            self.clock.sleep(Duration::from_millis(1)).await;
        }
        Err(Error::LeftBehind(leftovers::children().len()))
    }

    /// Kills what attempts of an earlier process left running, before the engine hears that they
    /// have ended.
    async fn end_the_past(&self) {
        const ROUNDS: u32 = 500;
        if !self.held.values().any(Held::is_lost) {
            return;
        }
        for _ in 0..ROUNDS {
            if leftovers::kill_all_of_folder(self.workspace.folder()) == 0 {
                return;
            }
            self.clock.sleep(Duration::from_millis(2)).await;
        }
    }

    async fn serve(&mut self, signals: &mut Signals) -> Result<(), Error> {
        while !self.is_done() {
            self.fill()?;
            let pause = self.tick_pause();
            // The connection comes before reports, which would otherwise fill memory while
            // nothing is sent. Every branch is cancel-safe.
            let wake = tokio::select! {
                biased;
                _ = signals.child.recv() => Wake::Child,
                _ = signals.terminate.recv() => Wake::Terminate,
                _ = signals.interrupt.recv() => Wake::Ignored,
                _ = signals.hangup.recv() => Wake::Ignored,
                ended = self.interpreter.next() => Wake::Forked(ended),
                wake = self.connection.wait() => wake,
                Some(report) = self.reports.1.recv() => Wake::Report(report),
                Some(ask) = self.desk.next() => Wake::Asked(ask),
                () = self.clock.sleep(pause) => Wake::Time,
            };
            self.handle(wake)?;
            while let Ok(report) = self.reports.1.try_recv() {
                self.note(report)?;
            }
            self.tick()?;
        }
        Ok(())
    }

    fn handle(&mut self, wake: Wake<D::Stream>) -> Result<(), Error> {
        match wake {
            Wake::Connected(Ok(stream)) => self.greet(stream),
            Wake::Connected(Err(_)) => {
                self.redial();
                Ok(())
            }
            Wake::Turned(Ok(Turn::Received)) => self.receive(),
            Wake::Turned(Ok(Turn::Written)) | Wake::Ignored | Wake::Time => Ok(()),
            Wake::Turned(Err(_)) => {
                self.disconnect();
                Ok(())
            }
            Wake::Report(report) => self.note(report),
            Wake::Asked(ask) => self.ask(ask),
            Wake::Child => {
                self.children.reap();
                Ok(())
            }
            Wake::Forked(ended) => {
                self.note_forked(ended);
                Ok(())
            }
            Wake::Terminate => self.terminate(),
        }
    }

    /// Queues events for the connection, one of each attempt in turn.
    fn fill(&mut self) -> Result<(), Error> {
        let Connection::Up { link, is_welcome: true } = &mut self.connection else {
            return Ok(());
        };
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            for held in self.held.values_mut() {
                let Some(room) = link.room() else {
                    return Ok(());
                };
                is_moving |= held.next_frame(room)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, message: &FromRunner) -> Result<(), Error> {
        if let Connection::Up { link, .. } = &mut self.connection {
            link.send(message)?;
        }
        Ok(())
    }

    fn redial(&mut self) {
        let pause = self.pauses.next();
        self.connection = Connection::dial(&self.dial, self.clock, pause);
    }

    /// The connection is lost: what is only in memory goes to disk, since nobody knows how long
    /// this process will be left alone.
    fn disconnect(&mut self) {
        for held in self.held.values_mut() {
            held.persist();
        }
        self.desk.is_alone();
        self.redial();
    }

    fn running(&self) -> usize {
        self.held.values().filter(|held| held.is_running()).count()
    }

    /// Waits a moment until the killed processes are reaped and what is queued is written.
    async fn last_words(&mut self) {
        const WAIT: Duration = Duration::from_millis(500);
        let tasks = self.tasks.clone();
        let clock = self.clock;
        let deadline = clock.deadline(WAIT);
        loop {
            tokio::select! {
                biased;
                () = deadline.reached() => return,
                () = tasks.wait(), if self.reports.1.is_empty() => break,
                Some(_) = self.reports.1.recv() => {}
                ended = self.interpreter.next() => self.note_forked(ended),
                () = clock.sleep(Duration::from_millis(5)) => self.children.reap(),
            }
        }
        if let Connection::Up { link, .. } = &mut self.connection {
            tokio::select! {
                () = deadline.reached() => {}
                _ = link.write_out() => {}
            }
        }
    }

    fn state_path(&self) -> &Path {
        &self.options.state
    }
}

// === impl Connection ===

impl<S> Connection<S> {
    fn dial<D: Dial<Stream = S> + Clone + 'static>(
        dial: &D,
        clock: Clock,
        pause: Duration,
    ) -> Self {
        let dial = dial.clone();
        Self::Down(Box::pin(async move { dial_after(&dial, clock, pause).await }))
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Connection<S> {
    /// Cancel-safe: a dial in progress goes on with the next call.
    async fn wait(&mut self) -> Wake<S> {
        match self {
            Self::Down(dialing) => Wake::Connected(dialing.await),
            Self::Up { link, .. } => Wake::Turned(link.turn().await),
        }
    }
}

impl<S> std::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Down(_) => "Down",
            Self::Up { .. } => "Up",
        })
    }
}

// === impl Signals ===

impl Signals {
    fn new() -> Result<Self, Error> {
        let take =
            |kind| signal(kind).map_err(|source| Error::Setup { what: "take signals", source });
        Ok(Self {
            child: take(SignalKind::child())?,
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
        })
    }
}
