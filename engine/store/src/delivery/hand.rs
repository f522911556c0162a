//! The engine that has a delivery in hand. An engine that expires while it works loses its
//! deliveries, and another one may have them by then: nothing that the expired one records takes
//! effect.

use crate::{
    delivery::{ClaimedDelivery, DeliveryRow},
    sql::Arg,
};

/// A delivery and the engine that has it in hand.
#[derive(Debug, Clone, Copy)]
pub struct InHand<'a> {
    row: &'a DeliveryRow,
    engine: Option<&'a str>,
}

/// Condition of a statement with [`InHand::args`]: matches no row if another engine has the
/// delivery in hand.
pub(super) const IN_HAND: &str =
    "forge = $1 AND hook = $2 AND id = $3 AND taken_by IS NOT DISTINCT FROM $4";

// === impl InHand ===

impl InHand<'_> {
    /// The arguments of [`IN_HAND`], `$1` to `$4`.
    pub(super) fn args(self) -> Vec<Arg> {
        let mut args = self.row.key();
        args.push(self.engine.map(str::to_owned).into());
        args
    }
}

/// One that no engine has claimed, or that was claimed where there is only one engine.
impl<'a> From<&'a DeliveryRow> for InHand<'a> {
    fn from(row: &'a DeliveryRow) -> Self {
        Self { row, engine: None }
    }
}

impl<'a> From<&'a ClaimedDelivery> for InHand<'a> {
    fn from(claimed: &'a ClaimedDelivery) -> Self {
        Self { row: &claimed.row, engine: claimed.engine.as_deref() }
    }
}
