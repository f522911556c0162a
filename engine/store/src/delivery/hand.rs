//! Who has a delivery in hand. An engine that was taken for dead while it worked has lost what it had, and
//! another one may have it by now: nothing that the first one records counts any more.

use crate::{
    delivery::{ClaimedDelivery, DeliveryRow},
    sql::Arg,
};

/// A delivery and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct InHand<'a> {
    row: &'a DeliveryRow,
    engine: Option<&'a str>,
}

/// Which row a statement with [`InHand::args`] changes: none if somebody else has the delivery.
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
