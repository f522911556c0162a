//! The command line, as a person uses it: the real `plue` binary in a home directory of its own.
//!
//! Nothing here talks to anything but this machine.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod call_approvals;
#[cfg(test)]
mod carried;
#[cfg(test)]
mod checkouts;
#[cfg(test)]
mod claude;
#[cfg(test)]
mod claude_scripts;
#[cfg(test)]
mod context_keys;
#[cfg(test)]
mod defaults;
#[cfg(test)]
mod delegates;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod event;
#[cfg(test)]
mod families;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod forks;
#[cfg(test)]
mod front;
#[cfg(test)]
mod goal;
#[cfg(test)]
mod held;
#[cfg(test)]
mod help;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod language;
#[cfg(test)]
mod lfs;
#[cfg(test)]
mod load;
#[cfg(test)]
mod login;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod masks;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod orchestration;
#[cfg(test)]
mod own_isolation;
#[cfg(test)]
mod own_runners;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod plan_cache;
#[cfg(test)]
mod portable;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod prompt_answers;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod proposals;
#[cfg(test)]
mod pushes;
#[cfg(test)]
mod python;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod records;
#[cfg(test)]
mod red_team;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod remote_more;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod required;
#[cfg(test)]
mod reused;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rotated;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod runners;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod state;
#[cfg(test)]
mod step_tools;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod submodules;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod test_results;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod transforms;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod watched;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod workflow_tools;
mod yaml;
