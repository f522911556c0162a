//! Forty Python steps one after the other, a process each.

use crate::bench::{line::Line, machine::Machine};

const STEPS: f64 = 40.0;

const SOURCE: &str = r#"
CODE = """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
fib(10)
"""

def workflow():
    return Plan("python", steps=[
        Step.python(f"s{n}", CODE, depends_on=[f"s{n - 1}"] if n else []) for n in range(40)
    ])
"#;

pub(crate) fn measure(machine: &Machine) -> anyhow::Result<Vec<Line>> {
    machine.workflow(SOURCE)?;
    machine.run()?;
    let mut samples = Vec::new();
    for _ in 0..machine.rounds {
        samples.push(machine.run()?.duration_ms()? / STEPS);
    }
    Ok(vec![Line::new("seq40_python", "sqlite normal", "ms/task", samples, machine.load())])
}
