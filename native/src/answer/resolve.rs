//! Steps 8 to 12 of docs/snapshot_format.md: from a question to what answers it.
use crate::snapshot::format::{
    NODE_BEACON, NODE_CNAME, NONE, Node, RRSET_STEERED_TARGET, Rrset, STEERED_A, STEERED_AAAA, STEERED_CNAME,
    STEERED_EXPLAIN, Steered, ZONE_NOT_READY, ZONE_SIGNED, ZONE_STALE,
};
use crate::snapshot::{Found, Known, Records, View};
use crate::wire::{Asked, ExtendedError, kinds};

const MAX_CHAIN: usize = 8;

/// Whose name an answer stands under.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Owner {
    /// The question's own, also where a wildcard answers for it.
    #[default]
    Question,
    /// A name that a CNAME led to.
    Name(u32),
}

/// What a chain of CNAMEs ends in. Nodes by their ids.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum End {
    /// Not in a zone served.
    #[default]
    Refused,
    /// In a zone that has no data.
    NotReady,
    /// The chain is the answer.
    Chain,
    /// An rrset, with what goes with it.
    Rrset(u32),
    /// An rrset, as a sample of all (RFC 8482 section 4.1).
    Sample(u32),
    /// The signatures of an rrset, which is left out.
    Signatures(u32),
    /// RFC 8482 section 4.2.
    Any,
    /// What of a steered name is to be chosen, the steered name, and its node.
    Steered(Wanted, u32, u32),
    /// The name has no such type; its node.
    NoData(u32),
    /// The name does not exist; the closest node that does.
    NxDomain(u32),
    /// The node of a delegation.
    Referral(u32),
}

/// What is wanted of a steered name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Wanted {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    Aaaa,
    /// A CNAME.
    Cname,
    /// SVCB or HTTPS, whose hints are addresses.
    Service,
    /// A text that says what was chosen, and why.
    Explanation,
}

/// What answers a question.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resolved {
    chain: [u32; MAX_CHAIN],
    chain_length: u8,
    /// Bit i: a wildcard answered for the name that i CNAMEs led to.
    pub(super) wildcards: u16,
    /// A beacon's wildcard answered for the question.
    pub(super) is_beacon: bool,
    /// What a zone's state adds.
    pub(super) error: Option<ExtendedError>,
    /// Whose name the end stands under.
    pub(super) owner: Owner,
    /// What comes after the chain.
    pub(super) end: End,
}

impl Resolved {
    /// The CNAME rrsets before the end: the first stands under the question, each other under the target of
    /// the one before.
    pub(super) fn chain(&self) -> &[u32] {
        &self.chain[..usize::from(self.chain_length)]
    }

    /// No CNAME, and nothing to be proved: what comes at the end is all that is answered.
    pub(super) fn is_question_own(&self) -> bool {
        self.chain_length == 0
    }

    /// AA: everything but a referral at the question itself, and what has no zone or no data.
    pub(super) fn is_authoritative(&self) -> bool {
        self.chain_length > 0 || !matches!(self.end, End::Refused | End::NotReady | End::Referral(_))
    }

    /// Adds a CNAME rrset, unless there are 8 or it is there already.
    fn push(&mut self, rrset: u32) -> bool {
        if self.is_full() || self.chain().contains(&rrset) {
            return false;
        }
        self.chain[usize::from(self.chain_length)] = rrset;
        self.chain_length += 1;
        true
    }

    fn is_full(&self) -> bool {
        usize::from(self.chain_length) == MAX_CHAIN
    }
}

/// Looks a question up. `known`: how far down the tree its name is known. What `resolved` held is forgotten.
pub(super) fn resolve(view: &View<'_>, known: Known, asked: &Asked, resolved: &mut Resolved) {
    let records = view.records;
    (resolved.chain_length, resolved.wildcards) = (0, 0);
    (resolved.owner, resolved.error, resolved.is_beacon) = (Owner::Question, None, false);
    let mut known = known;
    resolved.end = loop {
        let is_chained = resolved.chain_length > 0;
        let found = records.find(known, asked.kind == kinds::DS);
        let id = match found {
            Found::NoZone if is_chained => break End::Chain,
            Found::NoZone => break End::Refused,
            Found::Cut(id) | Found::Exact(id) | Found::Wildcard(id) | Found::Nothing(id) => id,
        };
        let node = records.node(id);
        match view.choices.zone_state(node.zone) {
            ZONE_NOT_READY if is_chained => break End::Chain,
            ZONE_NOT_READY => break End::NotReady,
            ZONE_STALE => resolved.error = Some(ExtendedError::Stale),
            _ => {}
        }
        match found {
            Found::Cut(_) => break End::Referral(id),
            Found::Nothing(_) => break End::NxDomain(id),
            Found::Wildcard(_) => {
                resolved.wildcards |= 1 << resolved.chain_length;
                resolved.is_beacon |= !is_chained && node.flags & NODE_BEACON != 0;
            }
            _ => {}
        }
        let Some((cname, rrset)) = alias(records, node, asked.kind) else {
            break end_at(view, id, node, asked, resolved.is_full());
        };
        if !resolved.push(cname) {
            break End::Chain;
        }
        // ECS-12: thousands of aliases share the cache entries of one steered name.
        if asked.ecs.is_some() && rrset.flags & RRSET_STEERED_TARGET != 0 {
            break End::Chain;
        }
        let target = target(records, rrset);
        resolved.owner = Owner::Name(target);
        known = records.known(target);
    };
    if resolved.end == End::Chain {
        resolved.wildcards &= !(1 << resolved.chain_length); // of a name that is not answered
    }
}

/// The name that a CNAME leads to.
pub(super) fn target(records: &Records, rrset: &Rrset) -> u32 {
    records.records_of(rrset)[0].name_1
}

/// The CNAME rrset of a node, where it stands for the type asked (RFC 4035 section 2.5: not for these).
fn alias<'r>(records: &'r Records, node: &Node, kind: u16) -> Option<(u32, &'r Rrset)> {
    match kind {
        _ if node.flags & NODE_CNAME == 0 => None,
        kinds::CNAME | kinds::ANY | kinds::NSEC | kinds::RRSIG => None,
        _ => records.rrset_at(node, kinds::CNAME),
    }
}

/// What a node that is not an alias has for a type.
fn end_at(view: &View<'_>, id: u32, node: &Node, asked: &Asked, chain_is_full: bool) -> End {
    let records = view.records;
    let is_signed = || records.zone(node.zone).flags & ZONE_SIGNED != 0;
    let is_steered_alias = || {
        node.steered != NONE
            && matches!(wanted(records, records.steered(node.steered), kinds::ANY), Some(Wanted::Cname))
    };
    match asked.kind {
        kinds::ANY if node.rrset_count == 0 && node.steered == NONE => return End::NoData(id),
        kinds::ANY if node.flags & NODE_CNAME != 0 => {
            return records
                .rrset_at(node, kinds::CNAME)
                .map_or(End::NoData(id), |(rrset, _)| End::Rrset(rrset));
        }
        kinds::ANY if is_steered_alias() => {}
        kinds::ANY if asked.is_dnssec_ok() && is_signed() => {
            return records.first_rrset(node).map_or(End::NoData(id), End::Sample);
        }
        kinds::ANY => return End::Any,
        kinds::RRSIG if is_signed() => {
            let has_some =
                |&rrset: &u32| view.signatures.is_some_and(|part| !part.of_rrset(rrset).is_empty());
            return records.first_rrset(node).filter(has_some).map_or(End::NoData(id), End::Signatures);
        }
        _ => {}
    }
    if node.steered != NONE {
        let steered = records.steered(node.steered);
        match wanted(records, steered, asked.kind) {
            Some(Wanted::Cname) if chain_is_full => return End::Chain,
            Some(wanted) => return End::Steered(wanted, node.steered, id),
            None => {}
        }
    }
    records.rrset_at(node, asked.kind).map_or(End::NoData(id), |(rrset, _)| End::Rrset(rrset))
}

/// What is wanted of a steered name, if the type is one that it steers.
fn wanted(records: &Records, steered: &Steered, kind: u16) -> Option<Wanted> {
    let has = |flag| steered.flags & flag != 0;
    match kind {
        _ if has(STEERED_EXPLAIN) => (kind == kinds::TXT).then_some(Wanted::Explanation),
        _ if has(STEERED_CNAME) => (kind != kinds::NSEC && kind != kinds::RRSIG).then_some(Wanted::Cname),
        kinds::A => has(STEERED_A).then_some(Wanted::A),
        kinds::AAAA => has(STEERED_AAAA).then_some(Wanted::Aaaa),
        _ => records.steered_rrset(steered, kind).map(|_| Wanted::Service),
    }
}
