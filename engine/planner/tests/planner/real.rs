//! The real evaluator.
