//! Steps 8 to 13 of docs/snapshot_format.md: from a question to the rrsets that answer it.
use crate::snapshot::format::{NODE_CNAME, NONE, Node, RRSET_STEERED_TARGET, Rrset, STEERED_A, STEERED_AAAA};
use crate::snapshot::{Found, Known, Records};
use crate::wire::{Asked, kinds};

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

/// What a chain of CNAMEs ends in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum End {
    /// Not in a zone served.
    #[default]
    Refused,
    /// The chain is the answer.
    Chain,
    /// An rrset.
    Rrset(u32),
    /// RFC 8482.
    Any,
    /// Addresses of a steered name, to be chosen, and the zone it is in.
    Steered(u32, u32),
    /// The name has no such type; its zone.
    NoData(u32),
    /// The name does not exist; its zone.
    NxDomain(u32),
    /// The NS rrset of a delegation.
    Referral(u32),
}

/// What answers a question.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resolved {
    chain: [u32; MAX_CHAIN],
    chain_length: u8,
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

    /// AA: everything but a referral at the question itself, and a refusal.
    pub(super) fn is_authoritative(&self) -> bool {
        self.chain_length > 0 || !matches!(self.end, End::Refused | End::Referral(_))
    }

    /// Adds a CNAME rrset, unless there are 8 or it is there already.
    fn push(&mut self, rrset: u32) -> bool {
        let length = usize::from(self.chain_length);
        if length == MAX_CHAIN || self.chain().contains(&rrset) {
            return false;
        }
        self.chain[length] = rrset;
        self.chain_length += 1;
        true
    }
}

/// Looks a question up. `known`: how far down the tree its name is known. What `resolved` held is forgotten.
pub(super) fn resolve(records: &Records, known: Known, asked: &Asked, resolved: &mut Resolved) {
    (resolved.chain_length, resolved.owner) = (0, Owner::Question);
    let mut known = known;
    resolved.end = loop {
        let node = match records.find(known, asked.kind == kinds::DS) {
            Found::NoZone if resolved.chain_length > 0 => break End::Chain,
            Found::NoZone => break End::Refused,
            Found::Nothing(zone) => break End::NxDomain(zone),
            Found::Cut(node) => {
                break records.rrset_at(node, kinds::NS).map_or(End::Chain, |(id, _)| End::Referral(id));
            }
            Found::Exact(node) | Found::Wildcard(node) => node,
        };
        let alias = match asked.kind {
            kinds::CNAME | kinds::ANY => None,
            _ if node.flags & NODE_CNAME == 0 => None,
            _ => records.rrset_at(node, kinds::CNAME),
        };
        let Some((id, rrset)) = alias else {
            break end_at(records, node, asked.kind);
        };
        // ECS-12: thousands of aliases share the cache entries of one steered name.
        let stands_alone = asked.ecs.is_some() && rrset.flags & RRSET_STEERED_TARGET != 0;
        if !resolved.push(id) || stands_alone {
            break End::Chain;
        }
        let target = target(records, rrset);
        resolved.owner = Owner::Name(target);
        known = records.known(target);
    };
}

/// The name that a CNAME leads to.
pub(super) fn target(records: &Records, rrset: &Rrset) -> u32 {
    records.records_of(rrset)[0].name_1
}

/// What a node that is not an alias has for a type.
fn end_at(records: &Records, node: &Node, kind: u16) -> End {
    let steered_flag = match kind {
        kinds::ANY if node.rrset_count > 0 || node.steered != NONE => return End::Any,
        kinds::A => STEERED_A,
        kinds::AAAA => STEERED_AAAA,
        _ => 0,
    };
    if node.steered != NONE && records.steered(node.steered).flags & steered_flag != 0 {
        return End::Steered(node.steered, node.zone);
    }
    records.rrset_at(node, kind).map_or(End::NoData(node.zone), |(id, _)| End::Rrset(id))
}
