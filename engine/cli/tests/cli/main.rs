//! The command line, as a person uses it: the real `plue` binary in a home directory of its own.
//!
//! Nothing here talks to anything but this machine.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod defaults;
#[cfg(test)]
mod event;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod goal;
#[cfg(test)]
mod help;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod login;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod portable;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod python;
#[cfg(test)]
mod records;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod remote_more;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod runners;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod seed003;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod state;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod transforms;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod watched;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod yaml;
