//! Proves the part `records`: after it, no index of a walk leaves its table and every walk ends.
use super::denial::CanonicalKey;
use super::format::{NODE_APEX, NODE_CNAME, NODE_CUT, NONE, Node, Record, Rrset, ZONE_SIGNED, Zone};
use super::part::{BadPart, prove, prove_slice};
use super::records::{ROOT, Records};

const TYPE_A: u16 = 1;
const TYPE_NS: u16 = 2;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const TYPE_NSEC: u16 = 47;
const MAX_NAME_BYTES: usize = 255;
const MAX_RDATA_BYTES: usize = 65_535;

/// Proves names, nodes, rrsets, records and zones.
/// # Errors
/// The first invariant that fails.
pub(super) fn prove(records: &Records) -> Result<(), BadPart> {
    prove_names(records)?;
    prove_name_hash(records)?;
    for (index, node) in records.nodes.iter().enumerate() {
        prove_node(records, index, node)?;
    }
    for (index, rrset) in records.rrsets.iter().enumerate() {
        prove_rrset(records, index, rrset)?;
    }
    for (index, record) in records.records.iter().enumerate() {
        prove_record(records, index, record)?;
    }
    for (index, zone) in records.zones.iter().enumerate() {
        prove_zone(records, index, zone)?;
    }
    Ok(())
}

/// Parents stand before their children, so that every walk up ends at the root; labels are whole and in lower
/// case.
fn prove_names(records: &Records) -> Result<(), BadPart> {
    let (names, bytes, node_count) = (&records.names, &records.bytes, records.nodes.len());
    prove!(names.first().is_some_and(|root| root.parent == ROOT), "name 0 is not a root");
    let mut name_bytes: Vec<usize> = Vec::with_capacity(names.len()); // of whole names, root octet included
    for (index, name) in names.iter().enumerate() {
        let start = name.label_offset as usize;
        let length = bytes.get(start).copied().map_or(usize::MAX, usize::from);
        if index == 0 {
            prove!(length == 0, "name 0: its label is not a zero octet");
            name_bytes.push(1);
        } else {
            prove!(
                (name.parent as usize) < index,
                "name {index}: parent {} does not stand before it",
                name.parent
            );
            prove!((1..=63).contains(&length), "name {index}: no label at {start}");
            let label = bytes.get(start..=start + length);
            prove!(label.is_some(), "name {index}: label at {start} is cut off");
            let upper = label.is_some_and(|label| label.iter().any(u8::is_ascii_uppercase));
            prove!(!upper, "name {index}: label at {start} is not in lower case");
            name_bytes.push(name_bytes[name.parent as usize] + length + 1);
            prove!(name_bytes[index] <= MAX_NAME_BYTES, "name {index} has {} octets", name_bytes[index]);
        }
        prove!(is_optional(name.node, node_count), "name {index}: no node {}", name.node);
        prove!(is_optional(name.cut_node, node_count), "name {index}: no cut node {}", name.cut_node);
    }
    Ok(())
}

/// Every name is found and some slot is empty, so that every search ends.
fn prove_name_hash(records: &Records) -> Result<(), BadPart> {
    let slots = &records.name_hash;
    prove!(slots.len().is_power_of_two(), "name hash of {} slots, a power of two is due", slots.len());
    let taken = slots.iter().filter(|&&slot| slot != NONE).count();
    prove!(taken * 2 <= slots.len(), "name hash more than half full: {taken} of {}", slots.len());
    let lost = slots.iter().find(|&&slot| !is_optional(slot, records.names.len()));
    prove!(lost.is_none(), "name hash: no name {}", lost.copied().unwrap_or_default());
    for (index, name) in records.names.iter().enumerate().skip(1) {
        let found = records.child(name.parent, records.label(index as u32));
        prove!(found as usize == index, "name hash: name {index} is looked for and {found} found");
    }
    Ok(())
}

fn prove_node(records: &Records, index: usize, node: &Node) -> Result<(), BadPart> {
    prove!((node.zone as usize) < records.zones.len(), "node {index}: no zone {}", node.zone);
    prove!(is_optional(node.wildcard, records.nodes.len()), "node {index}: no wildcard {}", node.wildcard);
    prove!(
        is_optional(node.steered, records.steered.len()),
        "node {index}: no steered name {}",
        node.steered
    );
    prove_slice("node", index, node.rrset_offset, node.rrset_count, records.node_rrsets.len())?;
    let ids = &records.node_rrsets[node.rrset_offset as usize..][..node.rrset_count as usize];
    let lost = ids.iter().find(|&&id| id as usize >= records.rrsets.len());
    prove!(lost.is_none(), "node {index}: no rrset {}", lost.copied().unwrap_or_default());
    let sorted = ids.windows(2).all(|pair| records.rrset(pair[0]).kind < records.rrset(pair[1]).kind);
    prove!(sorted, "node {index}: rrsets are not sorted by type");
    prove!(node.flags & (NODE_APEX | NODE_CUT) != NODE_APEX | NODE_CUT, "node {index}: both apex and cut");
    for (flag, kind) in [(NODE_CUT, TYPE_NS), (NODE_CNAME, TYPE_CNAME)] {
        let has = node.flags & flag == 0 || records.rrset_at(node, kind).is_some();
        prove!(has, "node {index}: flags say type {kind}, and it has none");
    }
    let is_signed = records.zone(node.zone).flags & ZONE_SIGNED != 0;
    for id in [node.nsec, node.nsec_wildcard] {
        let is_due = if is_signed { is_nsec(records, id) } else { id == NONE };
        prove!(is_due, "node {index}: rrset {id} is no NSEC of its zone");
    }
    Ok(())
}

/// Its NSEC records stand in canonical order, so that what covers a name can be searched for.
fn prove_zone(records: &Records, index: usize, zone: &Zone) -> Result<(), BadPart> {
    prove!((zone.apex as usize) < records.names.len(), "zone {index}: no name {}", zone.apex);
    prove!((zone.soa as usize) < records.rrsets.len(), "zone {index}: no rrset {}", zone.soa);
    prove_slice("NSEC chain of zone", index, zone.nsec_offset, zone.nsec_count, records.nsec_chain.len())?;
    let chain = records.nsec_chain_of(zone);
    let is_signed = zone.flags & ZONE_SIGNED != 0;
    prove!(is_signed != chain.is_empty(), "zone {index}: a signed zone has an NSEC chain, another none");
    let lost = chain.iter().find(|&&id| !is_nsec(records, id));
    prove!(lost.is_none(), "zone {index}: rrset {} is no NSEC", lost.copied().unwrap_or_default());
    let first = chain.first().map(|&id| records.rrset(id).name);
    prove!(first.is_none_or(|name| name == zone.apex), "zone {index}: its NSEC chain starts elsewhere");
    let owner = |&id: &u32| records.rrset(id).name;
    let inside = chain.iter().map(owner).all(|name| records.is_at_or_below(name, zone.apex));
    prove!(inside, "zone {index}: its NSEC chain leaves it");
    let keys = chain.iter().map(owner).map(|name| CanonicalKey::of_name(records, name));
    prove!(keys.is_sorted_by(|a, b| a.octets() < b.octets()), "zone {index}: its NSEC chain is not sorted");
    Ok(())
}

fn is_nsec(records: &Records, id: u32) -> bool {
    records.rrsets.get(id as usize).is_some_and(|rrset| rrset.kind == TYPE_NSEC)
}

fn prove_rrset(records: &Records, index: usize, rrset: &Rrset) -> Result<(), BadPart> {
    prove!((rrset.name as usize) < records.names.len(), "rrset {index}: no name {}", rrset.name);
    prove_slice("records of rrset", index, rrset.record_offset, rrset.record_count, records.records.len())?;
    prove!(rrset.record_count > 0, "rrset {index} is empty");
    let first = &records.records[rrset.record_offset as usize];
    let is_alias = rrset.kind != TYPE_CNAME || (rrset.record_count == 1 && first.name_1 != NONE);
    prove!(is_alias, "rrset {index}: a CNAME has one record with a name");
    prove_slice(
        "additional of rrset",
        index,
        rrset.additional_offset,
        rrset.additional_count,
        records.additional.len(),
    )?;
    let ids = &records.additional[rrset.additional_offset as usize..][..rrset.additional_count as usize];
    for &id in ids {
        let kind = records.rrsets.get(id as usize).map(|other| other.kind);
        prove!(matches!(kind, Some(TYPE_A | TYPE_AAAA)), "rrset {index}: additional {id} has no addresses");
    }
    Ok(())
}

fn prove_record(records: &Records, index: usize, record: &Record) -> Result<(), BadPart> {
    prove_slice("prefix of record", index, record.prefix_offset, record.prefix_bytes, records.bytes.len())?;
    prove_slice("suffix of record", index, record.suffix_offset, record.suffix_bytes, records.bytes.len())?;
    for name in [record.name_1, record.name_2] {
        prove!(is_optional(name, records.names.len()), "record {index}: no name {name}");
    }
    let most = record.prefix_bytes as usize + record.suffix_bytes as usize + 2 * MAX_NAME_BYTES;
    prove!(most <= MAX_RDATA_BYTES || record.name_1 == NONE, "record {index}: RDATA too long");
    let plain = record.prefix_bytes as usize + record.suffix_bytes as usize;
    prove!(plain <= MAX_RDATA_BYTES, "record {index}: RDATA too long");
    Ok(())
}

/// Whether an index is NONE or below `count`.
pub(super) fn is_optional(index: u32, count: usize) -> bool {
    index == NONE || (index as usize) < count
}
