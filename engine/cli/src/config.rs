//! Configuration in layers, each value with its origin:
//! defaults ← `/etc/plue/config.toml` ← user's `config.toml` ← repository's `plue.toml` ← `PLUE_…`
//! variables ← flags.
//!
//! The only module of plue that reads the environment. A repository's `plue.toml` may be
//! untrusted, so it may set only keys that cannot make this machine run or read something else.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use plue_plan::{Diagnostic, DurationText, Span};
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::{
    args::Global,
    exit::Exit,
    failure::{Failure, codes},
};

mod claude;
mod environment;
mod keys;
mod kubernetes;
mod limits;
mod login;
mod pools;
#[cfg(test)]
mod tests;
mod triggers;

pub use claude::ClaudeConfig;
pub use environment::Environment;
pub use keys::KEYS;
pub use kubernetes::{KubernetesConfig, KubernetesPool};
pub use limits::LimitsConfig;
pub use login::{LoginConfig, LoginRule};
pub use pools::PoolsConfig;
pub use triggers::TriggersConfig;

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directory of the database, logs and runner buffers.
    pub state_dir: PathBuf,
    /// Database URL; absent: `plue.db` in the state directory.
    pub database: Option<String>,
    /// The server that commands talk to; absent: they work on this machine.
    pub server: Option<String>,
    /// Token that commands send to the server.
    pub token: Option<Hidden>,
    /// `auto`, `always` or `never`.
    pub color: String,
    /// File for the metrics of a command, written at its end; absent: none.
    pub metrics_file: Option<PathBuf>,
    /// Addresses and networks of the proxies before `plue serve` whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<String>,
    /// Limit on concurrent steps that no plan can exceed; absent: no limit.
    pub max_parallel: Option<u32>,
    /// Retention of ended runs and their logs.
    pub retention: DurationText,
    /// Checkpoints of the workspace.
    pub checkpoints: CheckpointsConfig,
    /// Files that steps keep.
    pub artifacts: ArtifactsConfig,
    /// Retention and quota of step caches.
    pub cache: CacheConfig,
    /// Calls of the engine itself.
    pub calls: CallsConfig,
    /// Model, prices and budgets of Claude steps.
    pub claude: ClaudeConfig,
    /// Places and disk of a server.
    pub limits: LimitsConfig,
    /// An object store for larger content.
    pub objects: ObjectsConfig,
    /// Binary and layers of the evaluator.
    pub evaluator: EvaluatorConfig,
    /// Login of users to a server.
    pub login: LoginConfig,
    /// Runners of the local pool.
    pub runner: RunnerConfig,
    /// Isolation of the pools, and pools of pods.
    pub pools: PoolsConfig,
    /// The cluster of pools of pods.
    pub kubernetes: KubernetesConfig,
    /// Export of OpenTelemetry traces.
    pub traces: TracesConfig,
    /// Permissions to start runs on a server.
    pub triggers: TriggersConfig,
}

/// `[checkpoints]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointsConfig {
    /// `auto` or `off`.
    pub mode: String,
}

/// `[artifacts]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactsConfig {
    /// Retention of the content of artifacts.
    pub retention: DurationText,
}

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Bytes of all caches together; beyond that the longest unused go.
    pub quota_bytes: u64,
    /// A cache that was not used for so long goes.
    pub retention: DurationText,
}

/// `[calls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallsConfig {
    /// Targets of `call` steps in addition to public addresses: hosts, addresses, networks.
    pub allow: Vec<String>,
}

/// `[objects]`. Keys are in files, so that no configuration that is shown holds one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsConfig {
    /// `s3://BUCKET/PREFIX`; absent: larger content lies in the state directory.
    pub url: Option<String>,
    /// Address of the store; absent: that of AWS.
    pub endpoint: Option<String>,
    /// Its region; absent: `us-east-1`.
    pub region: Option<String>,
    /// File with the name of the key; absent, with the other: what the machine is given by its cloud.
    pub access_key_file: Option<PathBuf>,
    /// File with the key.
    pub secret_key_file: Option<PathBuf>,
    /// Whether the address may be without TLS.
    pub allow_http: bool,
    /// Whether logs of ended attempts go there too.
    pub logs: bool,
}

/// `[evaluator]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatorConfig {
    /// The `plue-evaluator` binary; absent: in the folder of `plue`.
    pub binary: Option<PathBuf>,
    /// Layers of the jail that may be missing on this machine, by name.
    pub allow_missing: Vec<String>,
}

/// `[traces]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// Address of a collector that speaks OTLP over HTTP; absent: no traces.
    pub endpoint: Option<String>,
    /// A file of headers for it, a line each: `Name: value`.
    pub headers_file: Option<PathBuf>,
    /// The share of runs whose traces are sent, from 0 to 1.
    pub sample: f64,
}

/// `[runner]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerConfig {
    /// The `plue-runner` binary; absent: in the folder of `plue`.
    pub binary: Option<PathBuf>,
    /// Between TERM and KILL.
    pub grace: DurationText,
    /// Bytes of log kept per attempt.
    pub log_limit_bytes: u64,
    /// Amounts that steps may request with `resources`, as `name=amount`, over the processors (`cpu`) and the
    /// memory of this machine.
    pub resources: Vec<String>,
    /// Labels that steps may request: with `runner`, or with `labels` in `resources`.
    pub labels: Vec<String>,
    /// Additional variables of this machine that steps get.
    pub env: Vec<String>,
}

/// A value that is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

/// The layer that set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueOrigin {
    /// The built-in default value.
    Default,
    /// A configuration file, by path.
    File(PathBuf),
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
}

/// A configuration with the origin of every value.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Layer of each value, by dotted key.
    pub origins: BTreeMap<&'static str, ValueOrigin>,
}

/// Values by dotted key, with their origins, while layers are put on each other.
#[derive(Debug, Default)]
struct Layers(BTreeMap<&'static str, (Value, ValueOrigin)>);

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

// === impl Config ===

impl Config {
    /// The built-in default values.
    #[must_use]
    pub fn built_in(environment: &Environment) -> Self {
        Self {
            state_dir: environment.state_dir(),
            database: None,
            server: None,
            token: None,
            color: "auto".to_owned(),
            metrics_file: None,
            trusted_proxies: Vec::new(),
            max_parallel: None,
            retention: DurationText::new("30d"),
            checkpoints: CheckpointsConfig { mode: "auto".to_owned() },
            artifacts: ArtifactsConfig { retention: DurationText::new("90d") },
            cache: CacheConfig {
                quota_bytes: 10 * 1024 * 1024 * 1024,
                retention: DurationText::new("30d"),
            },
            calls: CallsConfig { allow: Vec::new() },
            claude: ClaudeConfig::default(),
            limits: LimitsConfig::built_in(),
            objects: ObjectsConfig::default(),
            evaluator: EvaluatorConfig { binary: None, allow_missing: Vec::new() },
            login: LoginConfig::default(),
            runner: RunnerConfig {
                binary: None,
                grace: DurationText::new("10s"),
                log_limit_bytes: 100 * 1024 * 1024,
                resources: Vec::new(),
                labels: Vec::new(),
                env: Vec::new(),
            },
            pools: PoolsConfig::built_in(),
            kubernetes: KubernetesConfig::default(),
            traces: TracesConfig { endpoint: None, headers_file: None, sample: 1.0 },
            triggers: TriggersConfig::default(),
        }
    }
}

// === impl Hidden ===

impl Hidden {
    /// The hidden text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

// === impl Loaded ===

impl Loaded {
    /// Puts all layers together. `repo` is the repository whose `plue.toml` counts.
    ///
    /// # Errors
    /// A file that cannot be read or has an unknown key or a value of the wrong type.
    pub fn load(
        global: &Global,
        environment: &Environment,
        repo: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut layers = Layers::default();
        layers.put_defaults(environment)?;
        layers.file(Path::new("/etc/plue/config.toml"), false)?;
        if let Some(user) = environment.config_dir() {
            layers.file(&user.join("config.toml"), false)?;
        }
        if let Some(repo) = repo {
            layers.file(&repo.join("plue.toml"), true)?;
        }
        layers.variables(environment)?;
        layers.flags(global);
        layers.finish()
    }

    /// A configuration of built-in values.
    #[must_use]
    pub fn built_in(environment: &Environment) -> Self {
        Self { config: Config::built_in(environment), origins: BTreeMap::new() }
    }

    /// The database of this configuration.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.config.database.clone().unwrap_or_else(|| {
            format!("sqlite:{}", self.config.state_dir.join("plue.db").display())
        })
    }
}

// === impl Layers ===

impl Layers {
    fn set(&mut self, key: &'static str, value: Value, origin: ValueOrigin) {
        self.0.insert(key, (value, origin));
    }

    fn put_defaults(&mut self, environment: &Environment) -> Result<(), Failure> {
        let table = toml::Table::try_from(Config::built_in(environment))
            .map_err(|error| refused(format!("the defaults cannot be written: {error}")))?;
        for (name, value) in flatten(table) {
            if let Some(key) = keys::find(&name) {
                self.set(key.name, value, ValueOrigin::Default);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, of_repository: bool) -> Result<(), Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(refused(format!("cannot read {}: {error}", path.display())));
            }
        };
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
            let span = Span::at(path.display().to_string(), line, column);
            Failure::new(
                Exit::Usage,
                Diagnostic::error(codes::CONFIG, error.message().to_owned()).at(span),
            )
        })?;
        for (name, value) in flatten(table) {
            let key = keys::find(&name).ok_or_else(|| unknown(path, &text, &name))?;
            if of_repository && !key.repository {
                return Err(refused(format!(
                    "{}: `{name}` cannot be set by a repository",
                    path.display()
                ))
                .hint("set it in your own config.toml, by a PLUE_ variable or by a flag"));
            }
            self.set(key.name, value, ValueOrigin::File(path.to_owned()));
        }
        Ok(())
    }

    fn variables(&mut self, environment: &Environment) -> Result<(), Failure> {
        for key in KEYS {
            let Some(text) = environment.get(key.variable) else { continue };
            let value = key.kind.parse(&text).ok_or_else(|| {
                refused(format!("${} is {:?}, expected {}", key.variable, text, key.kind))
            })?;
            self.set(key.name, value, ValueOrigin::Variable(key.variable));
        }
        Ok(())
    }

    fn flags(&mut self, global: &Global) {
        if let Some(dir) = &global.state_dir {
            let value = Value::String(dir.display().to_string());
            self.set("state_dir", value, ValueOrigin::Flag("--state-dir"));
        }
        if let Some(url) = &global.database {
            self.set("database", Value::String(url.clone()), ValueOrigin::Flag("--database"));
        }
        if let Some(url) = &global.server {
            self.set("server", Value::String(url.clone()), ValueOrigin::Flag("--server"));
        }
        if let Some(path) = &global.metrics_file {
            let value = Value::String(path.display().to_string());
            self.set("metrics_file", value, ValueOrigin::Flag("--metrics-file"));
        }
        if let Some(color) = global.color {
            let text = format!("{color:?}").to_lowercase();
            self.set("color", Value::String(text), ValueOrigin::Flag("--color"));
        }
    }

    fn finish(self) -> Result<Loaded, Failure> {
        let mut table = toml::Table::new();
        for section in KEYS.iter().filter_map(|key| Some(key.name.rsplit_once('.')?.0)) {
            section_of(&mut table, section);
        }
        let mut origins = BTreeMap::new();
        for (key, (value, origin)) in self.0 {
            origins.insert(key, origin);
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            if let Some(inner) = section_of(&mut table, section) {
                inner.insert(name.to_owned(), value);
            }
        }
        let config: Config = Value::Table(table).try_into().map_err(|error: toml::de::Error| {
            refused(format!("the configuration does not fit: {}", error.message()))
        })?;
        let config = Config { state_dir: absolute(&config.state_dir), ..config };
        for (name, text) in [
            ("retention", &config.retention),
            ("runner.grace", &config.runner.grace),
            ("artifacts.retention", &config.artifacts.retention),
            ("cache.retention", &config.cache.retention),
            ("limits.untrusted_timeout", &config.limits.untrusted_timeout),
            ("limits.untrusted_retention", &config.limits.untrusted_retention),
        ] {
            text.parse().map_err(|error| refused(format!("{name}: {error}")))?;
        }
        if !["auto", "off"].contains(&config.checkpoints.mode.as_str()) {
            let mode = &config.checkpoints.mode;
            return Err(refused(format!("checkpoints.mode is {mode:?}, expected auto or off")));
        }
        config.pools.untrusted.check().map_err(refused)?;
        config.limits.check().map_err(refused)?;
        config.pools.local.check(&config.state_dir).map_err(refused)?;
        config.runner.check().map_err(refused)?;
        config.kubernetes.check(&config.pools.kubernetes).map_err(refused)?;
        if !(0.0..=1.0).contains(&config.traces.sample) {
            return Err(refused(format!(
                "traces.sample is {}, expected 0 to 1",
                config.traces.sample
            )));
        }
        if !["auto", "always", "never"].contains(&config.color.as_str()) {
            return Err(refused(format!(
                "color is {:?}, expected auto, always or never",
                config.color
            )));
        }
        Ok(Loaded { config, origins })
    }
}

fn refused(message: String) -> Failure {
    Failure::new(Exit::Usage, Diagnostic::error(codes::CONFIG, message))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Dotted keys of a table of at most three levels; deeper values stay values.
fn flatten(table: toml::Table) -> Vec<(String, Value)> {
    fn below(name: &str, table: toml::Table, depth: u32, flat: &mut Vec<(String, Value)>) {
        for (key, value) in table {
            let key = if name.is_empty() { key } else { format!("{name}.{key}") };
            match value {
                Value::Table(inner) if depth > 0 => below(&key, inner, depth - 1, flat),
                value => flat.push((key, value)),
            }
        }
    }
    let mut flat = Vec::new();
    below("", table, 2, &mut flat);
    flat
}

/// The table at a dotted name, made if it is not there.
fn section_of<'t>(table: &'t mut toml::Table, name: &str) -> Option<&'t mut toml::Table> {
    let parts = name.split('.').filter(|part| !part.is_empty());
    parts.into_iter().try_fold(table, |table, part| {
        let empty = || Value::Table(toml::Table::new());
        table.entry(part).or_insert_with(empty).as_table_mut()
    })
}

fn unknown(path: &Path, text: &str, name: &str) -> Failure {
    let last = name.rsplit('.').next().unwrap_or(name);
    let (line, column) = position(text, text.find(last).unwrap_or(0));
    let span = Span::at(path.display().to_string(), line, column);
    let names = KEYS.iter().map(|key| key.name).collect::<Vec<_>>();
    let hint = match plue_plan::validate::did_you_mean(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known keys are {}", names.join(", ")),
    };
    let diagnostic = Diagnostic::error(codes::CONFIG, format!("unknown key `{name}`"));
    Failure::new(Exit::Usage, diagnostic.at(span).hint(hint))
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = &text[..text.floor_char_boundary(offset.min(text.len()))];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// An OS string as text, or nothing: a setting that is not UTF-8 is no setting.
fn utf8(text: OsString) -> Option<String> {
    text.into_string().ok()
}
