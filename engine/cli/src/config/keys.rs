//! Every key of the configuration: name, variable, type, and who may set it.

use std::fmt;

use toml::Value;

/// A key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Dotted name as in `config.toml`.
    pub name: &'static str,
    /// The variable that sets it.
    pub variable: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// Whether a repository's `plue.toml` may set it.
    pub repository: bool,
}

/// The type of a key's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, paths and durations.
    Text,
    Integer,
    /// A number, whole or not.
    Number,
    /// Texts, in a variable separated by commas.
    List,
    /// `true` or `false`.
    Switch,
    /// Tables, in a variable as TOML writes a list of them.
    Tables,
}

/// Every key of the configuration.
pub const KEYS: &[Key] = &[
    key("state_dir", "PLUE_STATE_DIR", Kind::Text, false),
    key("database", "PLUE_DATABASE", Kind::Text, false),
    key("server", "PLUE_SERVER", Kind::Text, false),
    key("token", "PLUE_TOKEN", Kind::Text, false),
    key("color", "PLUE_COLOR", Kind::Text, false),
    key("metrics_file", "PLUE_METRICS_FILE", Kind::Text, false),
    key("max_parallel", "PLUE_MAX_PARALLEL", Kind::Integer, true),
    key("retention", "PLUE_RETENTION", Kind::Text, false),
    key("checkpoints.mode", "PLUE_CHECKPOINTS", Kind::Text, true),
    key("artifacts.retention", "PLUE_ARTIFACTS_RETENTION", Kind::Text, false),
    key("cache.quota_bytes", "PLUE_CACHE_QUOTA_BYTES", Kind::Integer, false),
    key("cache.retention", "PLUE_CACHE_RETENTION", Kind::Text, false),
    key("trusted_proxies", "PLUE_TRUSTED_PROXIES", Kind::List, false),
    key("calls.allow", "PLUE_CALLS_ALLOW", Kind::List, false),
    key("claude.model", "PLUE_CLAUDE_MODEL", Kind::Text, false),
    key("claude.prices", "PLUE_CLAUDE_PRICES", Kind::Text, false),
    key("claude.fetch_hosts", "PLUE_CLAUDE_FETCH_HOSTS", Kind::List, false),
    key("claude.budget_day", "PLUE_CLAUDE_BUDGET_DAY", Kind::Number, false),
    key("claude.budget_month", "PLUE_CLAUDE_BUDGET_MONTH", Kind::Number, false),
    key("claude.workflow_budget_day", "PLUE_CLAUDE_WORKFLOW_BUDGET_DAY", Kind::Number, false),
    key("claude.workflow_budget_month", "PLUE_CLAUDE_WORKFLOW_BUDGET_MONTH", Kind::Number, false),
    key(
        "claude.organisation_budget_day",
        "PLUE_CLAUDE_ORGANISATION_BUDGET_DAY",
        Kind::Number,
        false,
    ),
    key(
        "claude.organisation_budget_month",
        "PLUE_CLAUDE_ORGANISATION_BUDGET_MONTH",
        Kind::Number,
        false,
    ),
    key("limits.untrusted_runs", "PLUE_LIMITS_UNTRUSTED_RUNS", Kind::Integer, false),
    key(
        "limits.untrusted_runs_per_pull_request",
        "PLUE_LIMITS_UNTRUSTED_RUNS_PER_PULL_REQUEST",
        Kind::Integer,
        false,
    ),
    key("limits.untrusted_timeout", "PLUE_LIMITS_UNTRUSTED_TIMEOUT", Kind::Text, false),
    key("limits.untrusted_retention", "PLUE_LIMITS_UNTRUSTED_RETENTION", Kind::Text, false),
    key("limits.run_bytes", "PLUE_LIMITS_RUN_BYTES", Kind::Integer, false),
    key("limits.untrusted_run_bytes", "PLUE_LIMITS_UNTRUSTED_RUN_BYTES", Kind::Integer, false),
    key("limits.min_free_bytes", "PLUE_LIMITS_MIN_FREE_BYTES", Kind::Integer, false),
    key("limits.min_free_percent", "PLUE_LIMITS_MIN_FREE_PERCENT", Kind::Integer, false),
    key("objects.url", "PLUE_OBJECTS_URL", Kind::Text, false),
    key("objects.endpoint", "PLUE_OBJECTS_ENDPOINT", Kind::Text, false),
    key("objects.region", "PLUE_OBJECTS_REGION", Kind::Text, false),
    key("objects.access_key_file", "PLUE_OBJECTS_ACCESS_KEY_FILE", Kind::Text, false),
    key("objects.secret_key_file", "PLUE_OBJECTS_SECRET_KEY_FILE", Kind::Text, false),
    key("objects.allow_http", "PLUE_OBJECTS_ALLOW_HTTP", Kind::Switch, false),
    key("objects.logs", "PLUE_OBJECTS_LOGS", Kind::Switch, false),
    key("evaluator.binary", "PLUE_EVALUATOR_BINARY", Kind::Text, false),
    key("evaluator.allow_missing", "PLUE_EVALUATOR_ALLOW_MISSING", Kind::List, false),
    key("login.issuer", "PLUE_LOGIN_ISSUER", Kind::Text, false),
    key("login.client_id", "PLUE_LOGIN_CLIENT_ID", Kind::Text, false),
    key("login.client_secret_file", "PLUE_LOGIN_CLIENT_SECRET_FILE", Kind::Text, false),
    key("login.scopes", "PLUE_LOGIN_SCOPES", Kind::List, false),
    key("login.name_claim", "PLUE_LOGIN_NAME_CLAIM", Kind::Text, false),
    key("login.groups_claim", "PLUE_LOGIN_GROUPS_CLAIM", Kind::Text, false),
    key("login.allow_http", "PLUE_LOGIN_ALLOW_HTTP", Kind::Switch, false),
    key("login.rules", "PLUE_LOGIN_RULES", Kind::Tables, false),
    key("runner.binary", "PLUE_RUNNER_BINARY", Kind::Text, false),
    key("runner.grace", "PLUE_RUNNER_GRACE", Kind::Text, false),
    key("runner.log_limit_bytes", "PLUE_RUNNER_LOG_LIMIT_BYTES", Kind::Integer, false),
    key("runner.resources", "PLUE_RUNNER_RESOURCES", Kind::List, false),
    key("runner.labels", "PLUE_RUNNER_LABELS", Kind::List, false),
    key("runner.env", "PLUE_RUNNER_ENV", Kind::List, false),
    key("pools.local.mode", "PLUE_LOCAL_MODE", Kind::Text, false),
    key("pools.local.network", "PLUE_LOCAL_NETWORK", Kind::Switch, false),
    key("pools.local.read", "PLUE_LOCAL_READ", Kind::List, false),
    key("pools.local.write", "PLUE_LOCAL_WRITE", Kind::List, false),
    key("pools.local.home", "PLUE_LOCAL_HOME", Kind::Text, false),
    key("pools.untrusted.mode", "PLUE_UNTRUSTED_MODE", Kind::Text, false),
    key("pools.untrusted.network", "PLUE_UNTRUSTED_NETWORK", Kind::Switch, false),
    key("pools.untrusted.read", "PLUE_UNTRUSTED_READ", Kind::List, false),
    key("pools.untrusted.max_processes", "PLUE_UNTRUSTED_MAX_PROCESSES", Kind::Integer, false),
    key(
        "pools.untrusted.max_memory_bytes",
        "PLUE_UNTRUSTED_MAX_MEMORY_BYTES",
        Kind::Integer,
        false,
    ),
    key("pools.kubernetes", "PLUE_POOLS_KUBERNETES", Kind::Tables, false),
    key("kubernetes.namespace", "PLUE_KUBERNETES_NAMESPACE", Kind::Text, false),
    key("kubernetes.service_account", "PLUE_KUBERNETES_SERVICE_ACCOUNT", Kind::Text, false),
    key("kubernetes.owner_config_map", "PLUE_KUBERNETES_OWNER_CONFIG_MAP", Kind::Text, false),
    key("kubernetes.engine_url", "PLUE_KUBERNETES_ENGINE_URL", Kind::Text, false),
    key("kubernetes.runner_image", "PLUE_KUBERNETES_RUNNER_IMAGE", Kind::Text, false),
    key("kubernetes.instance", "PLUE_KUBERNETES_INSTANCE", Kind::Text, false),
    key("kubernetes.kubeconfig", "PLUE_KUBERNETES_KUBECONFIG", Kind::Text, false),
    key("traces.endpoint", "PLUE_TRACES_ENDPOINT", Kind::Text, false),
    key("traces.headers_file", "PLUE_TRACES_HEADERS_FILE", Kind::Text, false),
    key("traces.sample", "PLUE_TRACES_SAMPLE", Kind::Number, false),
    key("triggers.open_to_anyone", "PLUE_TRIGGERS_OPEN_TO_ANYONE", Kind::List, false),
    key("triggers.base_plans", "PLUE_TRIGGERS_BASE_PLANS", Kind::Switch, false),
];

const fn key(name: &'static str, variable: &'static str, kind: Kind, repository: bool) -> Key {
    Key { name, variable, kind, repository }
}

/// The key of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

// === impl Kind ===

impl Kind {
    /// Reads a variable's text.
    #[must_use]
    pub fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Text => Some(Value::String(text.to_owned())),
            Self::Integer => text.parse().ok().map(Value::Integer),
            Self::Switch => text.parse().ok().map(Value::Boolean),
            Self::Number => text.parse().ok().map(Value::Float),
            Self::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            Self::Tables => {
                let mut read: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
                let value = read.remove("value").filter(|_| read.is_empty())?;
                let fits = value.as_array().is_some_and(|all| all.iter().all(Value::is_table));
                fits.then_some(value)
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::List => "texts separated by commas",
            Self::Switch => "true or false",
            Self::Tables => "a list of tables",
        })
    }
}
