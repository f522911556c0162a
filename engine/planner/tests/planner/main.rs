//! The planner with other processes: fake and real evaluators, real git repositories.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod misbehaviour;
#[cfg(test)]
mod planning;
#[cfg(test)]
mod program;
#[cfg(test)]
mod real;
#[cfg(test)]
mod views;
