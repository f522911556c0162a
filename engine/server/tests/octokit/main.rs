//! Every example of a GitHub webhook that the npm package `@octokit/webhooks-examples` knows, posted to a
//! server with a store: each is answered 2xx and kept, none breaks anything, and afterwards the server
//! still answers.
//!
//! The package is not a part of this repository: `scripts/setup.sh test` fetches the pinned version.

#[cfg(test)]
mod examples;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod support;
