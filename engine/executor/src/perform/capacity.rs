//! The capacity of runners against the resource requests of steps. Pure except
//! [`Capacity::of_this_machine`].
//!
//! Amounts (`cpu`, `memory`, `gpu`, other names of the operator) are shared by concurrent steps; labels and
//! pools are not used up.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use plue_plan::{Plan, Step};
use plue_pool::fleet::Selector;
use serde_json::Value as Json;

/// The pool of steps without one.
const DEFAULT_POOL: &str = "default";

/// The resources and labels of this machine's runners.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capacity {
    amounts: BTreeMap<String, Amount>,
    labels: BTreeSet<String>,
    /// Steps without a pool get a runner of another machine.
    has_default_pool: bool,
}

/// A quantity in thousandths, so that `500m` is exact, with its source text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Amount {
    milli: u128,
    text: String,
}

/// The resources that one step requests.
struct ResourceRequest {
    pool: Option<String>,
    amounts: BTreeMap<String, Amount>,
    labels: BTreeSet<String>,
}

/// An invalid entry of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} is no resource; write name=amount, like cpu=8, memory=16Gi or gpu=1")]
pub struct NotAResource {
    /// The text of the entry.
    pub entry: String,
}

// === impl Amount ===

impl Amount {
    /// `2`, `0.5`, `500m`, `4Gi`, `1.5G`; `None` for other texts.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let milli = match unit {
            "m" => 1,
            "" => 1_000,
            "k" | "K" => 1_000 * 1_000,
            "M" => 1_000 * 1_000_000,
            "G" => 1_000 * 1_000_000_000,
            "T" => 1_000 * 1_000_000_000_000,
            "Ki" => 1_000 << 10,
            "Mi" => 1_000 << 20,
            "Gi" => 1_000 << 30,
            "Ti" => 1_000_u128 << 40,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || whole.len() > 18 || part.len() > 9 || part.contains('.') {
            return None;
        }
        let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
        let parts = if part.is_empty() { 0 } else { part.parse::<u128>().ok()? };
        let thousandths = (whole.parse::<u128>().ok()? * scale + parts) * milli / scale;
        Some(Self { milli: thousandths, text: text.to_owned() })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl Capacity ===

impl Capacity {
    /// Processors and memory that this process may use; no labels.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let mut found = Self::default();
        if let Ok(cpus) = std::thread::available_parallelism() {
            found.put("cpu", &cpus.to_string());
        }
        let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        if let Some(kib) = total.and_then(|line| line.trim().strip_suffix(" kB")) {
            found.put("memory", &format!("{}Ki", kib.trim()));
        }
        found
    }

    /// The same with `name=amount` entries of the operator, which override detected ones, and labels, which
    /// are names of pools too.
    ///
    /// # Errors
    /// [`NotAResource`] for an entry without a name or an amount.
    pub fn with(mut self, resources: &[String], labels: &[String]) -> Result<Self, NotAResource> {
        for entry in resources {
            let wrong = || NotAResource { entry: entry.clone() };
            let (name, amount) = entry.split_once('=').ok_or_else(wrong)?;
            let known = !name.trim().is_empty() && self.put(name.trim(), amount);
            known.then_some(()).ok_or_else(wrong)?;
        }
        self.labels.extend(labels.iter().cloned());
        Ok(self)
    }

    /// The same; steps without a pool get a runner of the pool `default`, of another machine.
    #[must_use]
    pub fn with_default_pool(self, has_default_pool: bool) -> Self {
        Self { has_default_pool, ..self }
    }

    fn put(&mut self, name: &str, amount: &str) -> bool {
        let amount = Amount::parse(amount);
        let known = amount.is_some();
        self.amounts.extend(amount.map(|amount| (canonical_name(name).to_owned(), amount)));
        known
    }

    /// The names that one runner of another machine must have for these steps; `None`: runners of this machine
    /// have them all, or a step insists on this machine. Steps of untrusted runs always ask for the untrusted
    /// pool as well.
    #[must_use]
    pub fn elsewhere<'s>(
        &self,
        plan: &Plan,
        steps: impl Iterator<Item = &'s Step>,
        is_untrusted: bool,
    ) -> Option<Selector> {
        let mut names = BTreeSet::new();
        for step in steps {
            let request = ResourceRequest::of(plan, step);
            match request.pool {
                Some(pool) if pool == plue_pool::local::POOL => return None,
                Some(pool) if pool != DEFAULT_POOL => drop(names.insert(pool)),
                Some(_) | None => {}
            }
            names.extend(request.labels);
        }
        if is_untrusted {
            names.insert(plue_pool::local::UNTRUSTED_POOL.to_owned());
            return Selector::new(names);
        }
        if names.is_empty() && self.has_default_pool {
            return Selector::new([DEFAULT_POOL.to_owned()]);
        }
        if names.is_subset(&self.labels) { None } else { Selector::new(names) }
    }

    /// Whether a runner can have the step now, together with the steps `running`.
    ///
    /// # Errors
    /// A text for people: the missing resource. It changes only if another resource is missing.
    pub fn admit<'s>(
        &self,
        (plan, step): (&Plan, &Step),
        running: impl Iterator<Item = &'s Step>,
    ) -> Result<(), String> {
        let request = ResourceRequest::of(plan, step);
        let pool = request.pool.as_deref().unwrap_or(DEFAULT_POOL);
        if pool != DEFAULT_POOL && pool != plue_pool::local::POOL && !self.labels.contains(pool) {
            return Err(format!("asks for runner=`{pool}`; there is no runner of that pool"));
        }
        if let Some(label) = request.labels.iter().find(|label| !self.labels.contains(*label)) {
            return Err(format!("asks for the label `{label}`; no runner of pool `{pool}` has it"));
        }
        for (name, asked) in &request.amounts {
            match self.amounts.get(name) {
                None => {
                    return Err(format!(
                        "asks for {name}={asked}; no runner of pool `{pool}` has it"
                    ));
                }
                Some(there) if asked.milli > there.milli => {
                    return Err(format!(
                        "asks for {name}={asked}; no runner of pool `{pool}` has more than {there}"
                    ));
                }
                Some(_) => {}
            }
        }
        let running: Vec<ResourceRequest> =
            running.map(|step| ResourceRequest::of(plan, step)).collect();
        for (name, asked) in &request.amounts {
            let used: u128 = running
                .iter()
                .filter_map(|request| request.amounts.get(name))
                .map(|used| used.milli)
                .sum();
            let there = self.amounts.get(name);
            if let Some(there) = there.filter(|there| used + asked.milli > there.milli) {
                return Err(format!(
                    "asks for {name}={asked} of {there}; other steps of the run use it now"
                ));
            }
        }
        Ok(())
    }
}

// === impl ResourceRequest ===

impl ResourceRequest {
    fn of(plan: &Plan, step: &Step) -> Self {
        let options = &step.options;
        let mut request = Self {
            pool: options.runner.clone().or_else(|| plan.runner.clone()),
            amounts: BTreeMap::new(),
            labels: BTreeSet::new(),
        };
        for (name, asked) in &options.resources {
            request.add(canonical_name(name), asked);
        }
        request
    }

    fn add(&mut self, name: &str, asked: &Json) {
        let text = match asked {
            Json::String(text) => text.clone(),
            Json::Array(items) => {
                let texts = items.iter().filter_map(Json::as_str);
                self.labels.extend(texts.map(str::to_owned));
                return;
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => asked.to_string(),
        };
        match (name, Amount::parse(&text)) {
            ("pool", _) => self.pool = Some(text),
            ("labels", _) => {
                let labels = text.split(',').map(str::trim).filter(|label| !label.is_empty());
                self.labels.extend(labels.map(str::to_owned));
            }
            (_, Some(amount)) => drop(self.amounts.insert(name.to_owned(), amount)),
            // `{"arch": "arm64"}`
            (_, None) => drop(self.labels.insert(format!("{name}={text}"))),
        }
    }
}

/// The canonical name of a resource with aliases.
fn canonical_name(name: &str) -> &str {
    match name {
        "cpus" => "cpu",
        "mem" => "memory",
        "gpus" => "gpu",
        "label" => "labels",
        other => other,
    }
}

#[cfg(test)]
mod tests;
