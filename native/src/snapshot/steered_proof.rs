//! Proves what the part `records` says of steered names.
use super::format::{
    LABELLED_COUNT, STEERED_A, STEERED_AAAA, STEERED_CNAME, STEERED_EXPLAIN, Selector, Steered, SteeredRrset,
    Template,
};
use super::part::{BadPart, prove, prove_slice};
use super::records::Records;

/// Proves all tables of steered names; returns a bound on the slots in use: all are below.
/// # Errors
/// The first invariant that fails.
pub(super) fn prove(records: &Records) -> Result<u32, BadPart> {
    for (index, steered) in records.steered.iter().enumerate() {
        prove_steered(records, index, steered)?;
    }
    for (index, rrset) in records.steered_rrsets.iter().enumerate() {
        prove_steered_rrset(records, index, rrset)?;
    }
    for (index, template) in records.templates.iter().enumerate() {
        prove_template(records, index, template)?;
    }
    let lost = records.cname_hosts.iter().find(|&&name| name as usize >= records.names.len());
    prove!(lost.is_none(), "CNAME hosts: no name {}", lost.copied().unwrap_or_default());
    let mut slots_used = 0;
    for (index, selector) in records.selectors.iter().enumerate() {
        slots_used = slots_used.max(prove_selector(records, index, selector)?);
    }
    Ok(slots_used)
}

fn prove_steered(records: &Records, index: usize, steered: &Steered) -> Result<(), BadPart> {
    let &Steered { selector, counter, flags, .. } = steered;
    prove!((selector as usize) < records.selectors.len(), "steered {index}: no selector {selector}");
    prove!((counter as usize) < LABELLED_COUNT, "steered {index}: no counter {counter}");
    let known = STEERED_A | STEERED_AAAA | STEERED_CNAME | STEERED_EXPLAIN;
    let is_mixed = flags & STEERED_CNAME != 0 && flags & (STEERED_A | STEERED_AAAA) != 0;
    prove!(flags & !known == 0 && !is_mixed, "steered {index}: flags are {flags}");
    let count = records.steered_rrsets.len();
    prove_slice("steered", index, steered.rrset_offset, steered.rrset_count, count)?;
    let rrsets = &records.steered_rrsets[steered.rrset_offset as usize..][..steered.rrset_count as usize];
    let sorted = rrsets.windows(2).all(|pair| pair[0].kind < pair[1].kind);
    prove!(sorted, "steered {index}: further types are not sorted");
    Ok(())
}

fn prove_steered_rrset(records: &Records, index: usize, rrset: &SteeredRrset) -> Result<(), BadPart> {
    prove!(rrset.template_count > 0, "steered rrset {index} is empty");
    let (offset, count) = (rrset.template_offset, rrset.template_count);
    prove_slice("templates of steered rrset", index, offset, count, records.templates.len())
}

fn prove_template(records: &Records, index: usize, template: &Template) -> Result<(), BadPart> {
    for (what, offset, count) in [
        ("start of template", template.before_offset, template.before_bytes),
        ("middle of template", template.between_offset, template.between_bytes),
        ("end of template", template.after_offset, template.after_bytes),
    ] {
        prove_slice(what, index, offset, count, records.bytes.len())?;
    }
    Ok(())
}

/// Returns a bound on the slots of one selector.
fn prove_selector(records: &Records, index: usize, selector: &Selector) -> Result<u32, BadPart> {
    let slot_count = records.settings.slot_count;
    prove_slice("arms of selector", index, selector.arm_offset, selector.arm_count, records.arms.len())?;
    prove_slice("hash of selector", index, selector.hash_offset, selector.hash_bytes, records.bytes.len())?;
    prove!(selector.unit4_bits <= 32 && selector.unit6_bits <= 64, "selector {index}: unit too long");
    let arms = records.arms_of(selector);
    let Some(final_arm) = arms.last() else {
        prove!(selector.slot < slot_count, "selector {index}: no slot {}", selector.slot);
        return Ok(selector.slot + 1);
    };
    prove!(arms.windows(2).all(|pair| pair[0].last <= pair[1].last), "selector {index}: arms are not sorted");
    prove!(final_arm.last == u64::MAX, "selector {index}: its last arm leaves hashes over");
    for arm in arms {
        prove!(arm.slot < slot_count, "selector {index}: no slot {}", arm.slot);
        prove!((arm.counter as usize) < LABELLED_COUNT, "selector {index}: no counter {}", arm.counter);
    }
    Ok(arms.iter().map(|arm| arm.slot + 1).max().unwrap_or(0))
}
