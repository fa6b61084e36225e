//! Choosing the addresses of a steered name (docs/snapshot_format.md, "Choosing"), in steps between which the
//! look-ups of a whole batch are made.
use super::counters::{Counter, Counters};
use crate::snapshot::format::{NONE, Steered};
use crate::snapshot::{Domain, Family, Row, Unit, View, set_of, winner};
use crate::wire::{ClientAddress, Ecs, TRANSLATED_BITS, read_source};

const RESOLVER_UNIT4_BITS: u8 = 24;
const RESOLVER_UNIT6_BITS: u8 = 48;
const TRANSLATED_SCOPE: u8 = 128; // of a translated block, whatever SOURCE: no two may overlap (ECS-10)
const FALLBACK: usize = usize::MAX;

/// Whose address decides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    /// Which table.
    pub(super) family: Family,
    /// What is looked up.
    pub(super) key: u64,
    /// Bits of the asked address before the key's.
    added_bits: u8,
    /// The ECS prefix, else the source address.
    by_ecs: bool,
    /// SCOPE PREFIX-LENGTH so far.
    scope_bits: u8,
}

/// The plan of a client, where it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placed {
    client: Client,
    partition: u16,
    place: usize,
}

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen<'s> {
    /// Octets of the addresses, of which there is at least one; nothing: NODATA.
    pub(super) addresses: Option<&'s [u8]>,
    /// TTL of the records.
    pub(super) ttl_s: u32,
    /// SCOPE PREFIX-LENGTH.
    pub(super) scope_bits: u8,
}

impl Client {
    /// Step 2, before the look-up. `source`: IPv4 as ::ffff:a.b.c.d.
    pub(super) fn new(ecs: Option<&Ecs>, source: u128, counters: &Counters) -> Self {
        // ECS-9: SOURCE 0 says nothing of the client.
        match ecs.filter(|ecs| ecs.source_bits > 0).map(Ecs::client) {
            None => Self::from_source(source, 0),
            Some(Some(address)) => {
                let is_translated = address.added_bits == TRANSLATED_BITS;
                Self::at(address, true, if is_translated { TRANSLATED_SCOPE } else { 0 })
            }
            Some(None) => {
                counters.count(Counter::EcsSpecial);
                Self::from_source(source, TRANSLATED_SCOPE)
            }
        }
    }

    fn from_source(source: u128, scope_bits: u8) -> Self {
        Self::at(read_source(source), false, scope_bits)
    }

    fn at(address: ClientAddress, by_ecs: bool, scope_bits: u8) -> Self {
        let family = if address.is_ipv6 { Family::V6 } else { Family::V4 };
        Self { family, key: address.key, added_bits: address.added_bits, by_ecs, scope_bits }
    }

    fn unit(&self, unit4_bits: u8, unit6_bits: u8) -> Unit {
        let (domain, unit4_bits, unit6_bits) = if self.by_ecs {
            (Domain::Client, unit4_bits, unit6_bits)
        } else {
            (Domain::Resolver, RESOLVER_UNIT4_BITS, RESOLVER_UNIT6_BITS)
        };
        let bits = if self.family == Family::V4 { unit4_bits } else { unit6_bits };
        Unit { family: self.family, key: self.key, bits, domain }
    }

    /// Only a client that is the ECS prefix raises the scope.
    fn raise_scope(&mut self, bits: u8) {
        if self.by_ecs {
            self.scope_bits = self.scope_bits.max(self.added_bits + bits);
        }
    }
}

/// Steps 2 and 3, after the look-up: from the client's row to where its plan stands.
pub(super) fn place<'s>(
    view: &View<'s>,
    steered: &Steered,
    source: u128,
    mut client: Client,
    mut row: Row<'s>,
    counters: &Counters,
) -> Placed {
    if client.by_ecs && row.is_special {
        counters.count(Counter::EcsSpecial);
        client.raise_scope(row.depths[0]);
        client = Client::from_source(source, client.scope_bits);
        row = view.map.find_row(client.family, client.key);
    } else if client.by_ecs {
        counters.count(Counter::EcsUsed);
    }
    let selector = view.records.selector_of(steered);
    let arms = view.records.arms_of(selector);
    let mut slot = selector.slot;
    if !arms.is_empty() {
        let unit = client.unit(selector.unit4_bits, selector.unit6_bits);
        let hash = view.records.deployment_key.hash_unit(view.records.hash_prefix_of(selector), unit);
        let arm = &arms[arms.partition_point(|arm| arm.last < hash)];
        counters.count_labelled(arm.counter);
        slot = arm.slot;
        client.raise_scope(unit.bits);
    }
    let partition = view.map.partition(slot, source, client.by_ecs);
    client.raise_scope(row.depths[usize::from(partition)]);
    let place = if row.is_special { FALLBACK } else { view.map.plan_place(row.class, partition) };
    Placed { client, partition, place }
}

/// The plan at a place.
pub(super) fn plan_at(view: &View<'_>, placed: &Placed) -> u32 {
    match placed.place {
        FALLBACK => view.map.fallback_plan(placed.partition),
        place => view.map.plan_at(place),
    }
}

/// Step 4: from the plan to addresses.
pub(super) fn choose<'s>(
    view: &View<'s>,
    steered: &Steered,
    mut placed: Placed,
    plan: u32,
    is_ipv6: bool,
    counters: &Counters,
) -> Chosen<'s> {
    let choice = view.choices.choice(plan);
    let (mut set, mut ttl_s) = (set_of(choice, is_ipv6), steered.ttl_s.min(choice.ttl_cap_s));
    let mut target_counter = choice.target_counter;
    if choice.alternative_count > 0 {
        let unit = placed.client.unit(choice.unit4_bits, choice.unit6_bits);
        placed.client.raise_scope(unit.bits);
        let candidates = view.choices.alternatives_with(choice, is_ipv6);
        if let Some(alternative) = winner(&view.records.deployment_key, unit, candidates) {
            let winner = view.choices.choice(alternative.choice);
            (set, ttl_s) = (set_of(winner, is_ipv6), ttl_s.min(winner.ttl_cap_s));
            target_counter = winner.target_counter;
        }
    }
    for counter in [choice.rule_counter, target_counter, steered.counter] {
        counters.count_labelled(counter);
    }
    chosen(view, set, is_ipv6, ttl_s, placed.client.scope_bits, counters)
}

/// Step 1: what beats every rule, if anything does.
pub(super) fn forced<'s>(view: &View<'s>, id: u32, is_ipv6: bool, counters: &Counters) -> Option<Chosen<'s>> {
    let choice = view.choices.forced(id)?;
    let steered = view.records.steered(id);
    for counter in [choice.rule_counter, choice.target_counter, steered.counter] {
        counters.count_labelled(counter);
    }
    let chosen =
        chosen(view, set_of(choice, is_ipv6), is_ipv6, steered.ttl_s.min(choice.ttl_cap_s), 0, counters);
    if chosen.addresses.is_some() {
        counters.count(Counter::AnswersForced);
    }
    Some(chosen)
}

fn chosen<'s>(
    view: &View<'s>,
    set: u32,
    is_ipv6: bool,
    ttl_s: u32,
    scope_bits: u8,
    counters: &Counters,
) -> Chosen<'s> {
    let addresses = if set == NONE { None } else { view.choices.addresses(set, is_ipv6) };
    if addresses.is_some() {
        counters.count(Counter::AnswersSteered);
        Chosen { addresses, ttl_s, scope_bits }
    } else {
        Chosen { addresses, ttl_s, scope_bits: 0 } // ECS-13
    }
}
