//! A machine of one's own as a runner: registered once with a token, then served run after run.
//!
//! Must not print or log the credential.

mod config;
mod http;
mod unit;

use std::{ffi::OsString, fs, io::Write as _, os::unix::fs::DirBuilderExt as _, path::PathBuf};

use plue_plan::RunnerId;
use serde::{Deserialize, Serialize};

pub use self::config::Config;
use crate::{
    Error, Leave, Runner, Signals, TokenSource,
    boot::{self, Token},
    link::{EngineDial, ServerDial},
    options::{Options, Python, Timing},
    workspace::wipe,
};

/// Path of the registration.
const REGISTER: &str = "/api/v1/executors/register";
/// Bytes of unacknowledged events per attempt, in memory and on disk together.
const BUFFER_BYTES: usize = 256 * 1024 * 1024;

/// Options of `plue-runner register`.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    server: String,
    token: String,
    name: Option<String>,
    labels: Vec<String>,
    config: Option<PathBuf>,
    state: Option<PathBuf>,
    certificates: Option<PathBuf>,
    is_service: bool,
}

/// The body of the registration.
#[derive(Debug, Serialize)]
struct Request<'a> {
    token: &'a str,
    name: &'a str,
    labels: &'a [String],
}

/// Answer of the server to a registration.
#[derive(Debug, Deserialize)]
struct Registered {
    id: String,
    credential: String,
    pool: String,
    labels: Vec<String>,
}

/// The command `register` or `run`, by its first argument.
///
/// # Errors
/// [`Error::Usage`], [`Error::Registration`], or as [`crate::Runner::run`].
pub fn main(
    command: &str,
    mut arguments: impl Iterator<Item = String>,
    environment: fn() -> std::env::VarsOs,
) -> Result<(), Error> {
    match command {
        "register" => {
            let registration = Registration::parse(arguments)?;
            local(registration.register(&paths(environment)))
        }
        _ => {
            let mut path = None;
            while let Some(name) = arguments.next() {
                match (name.as_str(), arguments.next()) {
                    ("--config", Some(value)) => path = Some(PathBuf::from(value)),
                    _ => return Err(Error::Usage(format!("run takes --config FILE, not {name}"))),
                }
            }
            let path = path.unwrap_or_else(|| paths(environment).config());
            let config = Config::read(&path)?;
            boot::detach(None)?;
            local(serve(&config, environment))
        }
    }
}

fn local<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Error::Setup { what: "start the event loop", source })?;
    runtime.block_on(future)
}

fn paths(environment: fn() -> std::env::VarsOs) -> config::Paths {
    let variables: Vec<(OsString, OsString)> = environment().collect();
    config::Paths::of(&variables, rustix::process::geteuid().is_root())
}

// === impl Registration ===

impl Registration {
    /// Reads the arguments after `register`.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the argument.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut read = Self::default();
        while let Some(name) = arguments.next() {
            if name == "--systemd" {
                read.is_service = true;
                continue;
            }
            let value = arguments.next();
            let value = value.ok_or_else(|| Error::Usage(format!("{name} needs a value")))?;
            match name.as_str() {
                "--server" => read.server = value,
                "--token" => read.token = value,
                "--name" => read.name = Some(value),
                "--label" => read.labels.push(value),
                "--config" => read.config = Some(value.into()),
                "--state" => read.state = Some(value.into()),
                "--ca" => read.certificates = Some(value.into()),
                _ => return Err(Error::Usage(format!("unknown argument {name}"))),
            }
        }
        for (name, value) in [("--server", &read.server), ("--token", &read.token)] {
            if value.is_empty() {
                return Err(Error::Usage(format!("{name} is missing")));
            }
        }
        Ok(read)
    }

    async fn register(self, paths: &config::Paths) -> Result<(), Error> {
        let Some(EngineDial::Server(mut dial)) = EngineDial::parse(&self.server) else {
            let message = format!("--server wants http[s]://HOST, not {:?}", self.server);
            return Err(Error::Usage(message));
        };
        if let Some(path) = &self.certificates {
            dial.trust(path.clone());
        }
        let config = self.config.clone().unwrap_or_else(|| paths.config());
        let state = self.state.clone().unwrap_or_else(|| paths.state());
        if config.exists() {
            // Its runner would be lost, and stay in the server's list.
            let why = format!("{} is there already: remove it to register again", config.display());
            return Err(Error::Registration(why));
        }
        for folder in [config.parent().unwrap_or(&state), state.as_path()] {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder).map_err(Error::state(folder))?;
        }
        let name = self.name.clone().unwrap_or_else(hostname);
        let registered = ask(&dial, &self, &name).await?;
        let written = Config {
            server: self.server.clone(),
            runner: registered.id.clone(),
            credential: registered.credential,
            state,
            certificates: self.certificates.clone(),
        };
        written.write(&config)?;
        let labels = match registered.labels.is_empty() {
            true => "no labels".to_owned(),
            false => format!("the labels {}", registered.labels.join(", ")),
        };
        let mut lines = vec![format!(
            "{} is runner {} of the pool {}, with {labels}",
            name, registered.id, registered.pool
        )];
        match self.is_service {
            true => lines.push(unit::install(&config)?),
            false => lines.push(format!("start it: plue-runner run --config {}", config.display())),
        }
        let _closed = writeln!(std::io::stdout(), "{}", lines.join("\n"));
        Ok(())
    }
}

async fn ask(
    dial: &ServerDial,
    registration: &Registration,
    name: &str,
) -> Result<Registered, Error> {
    let request = Request { token: &registration.token, name, labels: &registration.labels };
    let body = serde_json::to_vec(&request).map_err(|error| failed(&error))?;
    let (status, answer) =
        http::post(dial, REGISTER, &body).await.map_err(|error| failed(&error))?;
    if !(200..300).contains(&status) {
        return Err(Error::Registration(http::refusal(status, &answer)));
    }
    serde_json::from_slice(&answer).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Registration(error.to_string())
}

fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "runner".to_owned() } else { name }
}

/// Serves one run after the other until a signal comes, or the server sends the runner away.
async fn serve(config: &Config, environment: fn() -> std::env::VarsOs) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let root = config.state.join("work");
    for folder in [&config.state, &root] {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).map_err(Error::state(folder))?;
    }
    loop {
        let dial = config.dial()?;
        let options = options(config, dial.clone(), root.clone());
        let token = Token::Fixed(config.credential.clone());
        let runner = Runner::open(options, token, dial, environment())?;
        if runner.run_with(&mut signals).await? == Leave::Stopped {
            return Ok(());
        }
        // Nothing of one run is there for the next.
        wipe(&config.state, &root).map_err(Error::state(&root))?;
        let _absent = fs::remove_file(config.state.join("index"));
    }
}

fn options(config: &Config, connect: EngineDial, workspace: PathBuf) -> Options {
    Options {
        connect,
        runner: RunnerId::new(config.runner.as_str()),
        workspace,
        state: config.state.clone(),
        token: TokenSource::Descriptor(0),
        timing: Timing { orphan_after: None, ..Timing::default() },
        buffer_bytes: BUFFER_BYTES,
        index: Some(config.state.join("index")),
        python: Python { is_forked: true, is_likely: false },
        confined: None,
        tries: false,
        inherit: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Registration, Error> {
        Registration::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn registrations_are_read() {
        let read = parse("--server https://a --token t --label gpu --label big --systemd").unwrap();
        assert_eq!((read.labels.join(" ").as_str(), read.is_service), ("gpu big", true));
        for (line, message) in [
            ("--token t", "--server is missing"),
            ("--server https://a", "--token is missing"),
            ("--server", "--server needs a value"),
            ("--serve https://a", "unknown argument --serve"),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), message);
        }
    }
}
