//! What the records say of steered names: who selects for them, and which further types they have.
use super::format::{Arm, Selector, Steered, SteeredRrset, Template};
use super::records::{Records, slice};

/// Octets of RDATA before, between and after the hints.
pub type TemplateParts<'r> = [&'r [u8]; 3];

impl Records {
    /// A steered name by its id.
    pub fn steered(&self, id: u32) -> &Steered {
        &self.steered[id as usize]
    }

    /// Which steered names there are.
    pub fn steered_count(&self) -> usize {
        self.steered.len()
    }

    /// Who selects for a steered name.
    pub fn selector_of(&self, steered: &Steered) -> &Selector {
        &self.selectors[steered.selector as usize]
    }

    /// The arms of an experiment, by rising `last`; none for a policy.
    pub fn arms_of(&self, selector: &Selector) -> &[Arm] {
        slice(&self.arms, selector.arm_offset, selector.arm_count)
    }

    /// What an experiment hashes before the unit.
    pub fn hash_prefix_of(&self, selector: &Selector) -> &[u8] {
        slice(&self.bytes, selector.hash_offset, selector.hash_bytes)
    }

    /// The further type of a steered name, if it has it.
    pub fn steered_rrset(&self, steered: &Steered, kind: u16) -> Option<&SteeredRrset> {
        let rrsets = slice(&self.steered_rrsets, steered.rrset_offset, steered.rrset_count);
        rrsets.iter().find(|rrset| rrset.kind == kind)
    }

    /// The templates of a further type, at least one.
    pub fn templates_of(&self, rrset: &SteeredRrset) -> &[Template] {
        slice(&self.templates, rrset.template_offset, rrset.template_count)
    }

    /// The octets of a template.
    pub fn template_parts(&self, template: &Template) -> TemplateParts<'_> {
        [
            slice(&self.bytes, template.before_offset, template.before_bytes),
            slice(&self.bytes, template.between_offset, template.between_bytes),
            slice(&self.bytes, template.after_offset, template.after_bytes),
        ]
    }

    /// The name that a choice's `cname` points to.
    pub fn cname_host(&self, index: u32) -> u32 {
        self.cname_hosts[index as usize]
    }

    /// Which names choices may point to.
    pub fn cname_host_count(&self) -> usize {
        self.cname_hosts.len()
    }
}
