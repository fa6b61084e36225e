//! Snapshots: three or four parts, each proved when it is loaded, then walked without fear. Knows tables, not
//! RFCs: no octet of a message is read or written here.
#[cfg(any(test, feature = "builder"))]
pub mod builder;
mod choices;
mod denial;
pub mod format;
#[cfg(test)]
mod full_tests;
mod keys;
mod map;
mod map_proof;
mod part;
mod records;
mod records_proof;
mod settings;
mod settings_proof;
mod shares;
mod signatures;
mod signed_sets;
mod steered;
mod steered_proof;
#[cfg(test)]
mod tests;
mod whole_names;

use std::sync::Arc;

pub use choices::{Choices, Sought};
pub use denial::CanonicalKey;
pub use keys::{Domain, Family, Unit};
pub use map::{AlignedBytes, Map, MapView, Row, Storage};
pub use part::BadPart;
use part::prove;
pub use records::{Found, Known, ROOT, Records};
pub use shares::{DeploymentKey, rendezvous_cost, winner};
pub use signatures::Signatures;
pub use signed_sets::SetKey;
pub use steered::TemplateParts;

/// The one immutable value from which the engine answers.
#[derive(Clone, Debug)]
pub struct Snapshot {
    records: Arc<Records>,
    map: Arc<Map>,
    choices: Arc<Choices>,
    signatures: Option<Arc<Signatures>>,
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
    /// What depends on keys and the calendar, where a zone is signed.
    pub signatures: Option<&'s Signatures>,
}

impl Snapshot {
    /// Puts the parts together; copies nothing. `signatures`: where a zone is signed, and only there.
    /// # Errors
    /// When an index of one part passes the end of a table of another, or the signatures are of other records.
    pub fn new(
        records: Arc<Records>,
        map: Arc<Map>,
        choices: Arc<Choices>,
        signatures: Option<Arc<Signatures>>,
    ) -> Result<Self, BadPart> {
        let (count, plans) = (choices.count(), map.shape.plan_count);
        prove!(count >= plans as usize, "{count} choices for {plans} plans");
        let (forced, steered) = (choices.forced_count(), records.steered_count());
        prove!(forced == steered, "forced choices of {forced} names for {steered} steered names");
        let (used, slots) = (records.slots_used, map.shape.slot_count);
        prove!(used <= slots, "records use {used} slots, the map has {slots}");
        let (known, zones) = (choices.zone_count(), records.zone_count());
        prove!(known == zones, "states of {known} zones for {zones} zones");
        let (used, hosts) = (choices.cname_hosts_used() as usize, records.cname_host_count());
        prove!(used <= hosts, "choices use {used} CNAME hosts, the records have {hosts}");
        let is_signed = records.has_signed_zone();
        prove!(signatures.is_some() || !is_signed, "a zone is signed, and there are no signatures");
        prove!(signatures.is_none() || is_signed, "there are signatures, and no zone is signed");
        if let Some(signatures) = &signatures {
            let signed = &signatures.signed;
            let same = signed.records_identity == records.identity
                && signed.rrset_count as usize == records.rrset_count()
                && signed.steered_count as usize == steered;
            prove!(same, "the signatures are of other records");
        }
        Ok(Self { records, map, choices, signatures })
    }

    /// The tables, typed.
    pub fn view(&self) -> View<'_> {
        View {
            records: &self.records,
            map: self.map.view(),
            choices: &self.choices,
            signatures: self.signatures.as_deref(),
        }
    }
}
