//! `cargo xtask`: the chores of this repository that neither Cargo nor Clippy does.
//!
//! Must not be needed to build or run plue, and must not depend on any of its crates: a broken
//! crate may not keep the tool from reporting it.
#![forbid(unsafe_code)]

mod advisories;
mod bench;
mod book;
mod check_crates;
mod image;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// The repository's own chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check every rule of docs/style.md that Clippy has no lint for, and report all breaks at once.
    Tidy(tidy::TidyArgs),
    /// Check the locked dependencies against an offline copy of `RustSec`'s advisory database, if there is one.
    Advisories {
        /// The copy: a clone of github.com/rustsec/advisory-db.
        #[arg(long, value_name = "DIR", default_value = "advisory-db")]
        db: PathBuf,
    },
    /// Write the source of the manual as a book to DIR/book-src (`make docs` builds it).
    Book {
        #[arg(long, value_name = "DIR", default_value = "target")]
        target: PathBuf,
    },
    /// Pack the built programs as OCI archives of engine, runner and evaluator (docs/how-to/kubernetes.md).
    Image(image::ImageArgs),
    /// Measure release builds: chains, fans, cold starts, logs (docs/explanation/performance.md).
    Bench(bench::BenchArgs),
    /// Check each crate of the workspace alone, so that none borrows a feature from a neighbour.
    CiCheckCrates {
        /// Check only these packages.
        #[arg(value_name = "PACKAGE")]
        packages: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    match arguments.task {
        Task::Tidy(arguments) => tidy::run(root, &arguments),
        Task::Advisories { db } => advisories::run(root, &db),
        Task::Book { target } => book::run(root, &target),
        Task::Image(arguments) => image::run(root, &arguments),
        Task::Bench(arguments) => bench::run(root, &arguments),
        Task::CiCheckCrates { packages } => check_crates::run(root, &packages),
    }
}
