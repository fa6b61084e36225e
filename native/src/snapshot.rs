//! Snapshots: three parts, each proved when it is loaded, then walked without fear. Knows tables, not RFCs:
//! no octet of a message is read or written here.
#[cfg(any(test, feature = "builder"))]
pub mod builder;
mod choices;
pub mod format;
mod keys;
mod map;
mod map_proof;
mod part;
mod records;
mod records_proof;
mod shares;
#[cfg(test)]
mod tests;
mod whole_names;

use std::sync::Arc;

pub use choices::{Choices, set_of};
pub use keys::{Domain, Family, Unit};
pub use map::{AlignedBytes, Map, MapView, Row, Storage};
pub use part::BadPart;
use part::prove;
pub use records::{Found, Known, ROOT, Records};
pub use shares::{DeploymentKey, rendezvous_cost, winner};

/// The one immutable value from which the engine answers.
#[derive(Clone, Debug)]
pub struct Snapshot {
    records: Arc<Records>,
    map: Arc<Map>,
    choices: Arc<Choices>,
}

/// A snapshot's tables, typed: made once for a batch of queries.
#[derive(Clone, Copy)]
pub struct View<'s> {
    /// What depends on neither client nor POPs.
    pub records: &'s Records,
    /// What depends on the client.
    pub map: MapView<'s>,
    /// What depends on the POPs.
    pub choices: &'s Choices,
}

impl Snapshot {
    /// Puts three parts together; copies nothing.
    /// # Errors
    /// When an index of one part passes the end of a table of another.
    pub fn new(records: Arc<Records>, map: Arc<Map>, choices: Arc<Choices>) -> Result<Self, BadPart> {
        let (count, plans) = (choices.count(), map.shape.plan_count);
        prove!(count >= plans as usize, "{count} choices for {plans} plans");
        let (forced, steered) = (choices.forced_count(), records.steered_count());
        prove!(forced == steered, "forced choices of {forced} names for {steered} steered names");
        let (used, slots) = (records.slots_used, map.shape.slot_count);
        prove!(used <= slots, "records use {used} slots, the map has {slots}");
        Ok(Self { records, map, choices })
    }

    /// The tables, typed.
    pub fn view(&self) -> View<'_> {
        View { records: &self.records, map: self.map.view(), choices: &self.choices }
    }
}
