//! The flow as its users see it: inputs in, facts, effects and views out.

#[cfg(test)]
mod cancel;
#[cfg(test)]
mod chance;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod failure_rules;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod names;
#[cfg(test)]
mod parallel;
#[cfg(test)]
mod placing;
#[cfg(test)]
mod player;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reopen;
#[cfg(test)]
mod retry;
#[cfg(test)]
mod timeout;
#[cfg(test)]
mod waiting;
