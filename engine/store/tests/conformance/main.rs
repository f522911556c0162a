//! What every store must do, run on SQLite and on Postgres: the same test, the same answers.

#[cfg(test)]
#[macro_use]
mod support;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod api;
#[cfg(test)]
mod blobs;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod commits;
#[cfg(test)]
mod derived;
#[cfg(test)]
mod drives;
#[cfg(test)]
mod expand;
#[cfg(test)]
mod files;
#[cfg(test)]
mod forks;
#[cfg(test)]
mod history;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod limits;
mod lists;
#[cfg(test)]
mod live;
#[cfg(test)]
mod log_lines;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod logs;
mod mcp;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod overtaken;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod races;
#[cfg(test)]
mod registrations;
#[cfg(test)]
mod remains;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod repos;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod spending;
#[cfg(test)]
mod test_reports;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod trails;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod vault;
#[cfg(test)]
mod webhooks;
