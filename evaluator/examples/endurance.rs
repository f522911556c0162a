//! Twenty thousand files through one evaluator: `cargo run -p plue-evaluator --example endurance`.
//!
//! The same as the test of this name, with a number to choose: `-- 100000`. Build the program first:
//! `cargo build -p plue-evaluator`.

#[path = "../tests/evaluator/endurance.rs"]
mod endurance;
#[expect(dead_code, reason = "the example uses a part of the tests' harness")]
#[path = "../tests/evaluator/harness.rs"]
mod harness;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(20_000);
    endurance::endure(count);
    println!("{count} files: memory, descriptors and processes as before");
}
