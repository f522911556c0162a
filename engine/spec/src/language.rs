//! CEL as plan validation sees it.

use plue_plan::validate::{ExpressionCheck, ExpressionError, Reference};

use crate::{expression::Expression, template::Template};

/// The expression language of plans, for [`plue_plan::validate::validate_with`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Cel;

// === impl Cel ===

impl ExpressionCheck for Cel {
    fn references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError> {
        Expression::parse(source).map(|expression| expression.references().to_vec())
    }

    fn condition_references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError> {
        Expression::parse_condition(source).map(|expression| expression.references().to_vec())
    }

    fn template_references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError> {
        Template::parse(source).map(|template| template.references())
    }
}
