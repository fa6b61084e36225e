//! Choosing the addresses of a steered name (docs/snapshot_format.md, "Choosing"), in steps between which the
//! look-ups of a whole batch are made.
use super::counters::{Counter, Counters};
use super::observed::UnitKey;
use super::resolve::Wanted;
use crate::snapshot::format::{Choice, NONE, STEERED_A, STEERED_AAAA, Steered, SteeredRrset};
use crate::snapshot::{Domain, Family, Row, Sought, Unit, View, winner};
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
    arm: u32, // its counter, or NONE
    place: usize,
}

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen<'s> {
    /// What there is of it.
    pub(super) given: Given<'s>,
    /// TTL of the records.
    pub(super) ttl_s: u32,
    /// SCOPE PREFIX-LENGTH.
    pub(super) scope_bits: u8,
}

/// What a client is given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'s> {
    /// NODATA.
    Nothing,
    /// Octets of addresses, of which there is at least one.
    Addresses(&'s [u8]),
    /// The index of a CNAME host.
    Host(u32),
    /// Templates, and the octets of the IPv4 and IPv6 addresses for their hints.
    Hints(&'s SteeredRrset, [&'s [u8]; 2]),
    /// How the choice came about.
    Explanation(Reason),
}

/// How a choice came about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reason {
    /// The client is the ECS prefix.
    pub(super) by_ecs: bool,
    /// The choice beats every rule.
    pub(super) is_forced: bool,
    /// The counter of the arm taken, or NONE.
    pub(super) arm: u32,
    /// Counter of the rule.
    pub(super) rule: u32,
    /// Counter of the target.
    pub(super) target: u32,
}

/// One of the choices that an answer takes.
#[derive(Clone, Copy)]
struct Picked<'s> {
    choice: &'s Choice,
    winner: &'s Choice, // the choice itself, where it is not weighted
    index: u32,         // of a set or a host, or NONE
    client: Client,     // with the scope that it came to
}

impl Placed {
    /// The unit of whose address decides.
    pub(super) fn unit_key(&self) -> UnitKey {
        self.client.unit_key()
    }
}

impl Picked<'_> {
    fn ttl_cap_s(&self) -> u32 {
        self.choice.ttl_cap_s.min(self.winner.ttl_cap_s)
    }
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

    fn unit_key(&self) -> UnitKey {
        UnitKey::new(self.family, self.key, !self.by_ecs)
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
    let (mut slot, mut taken) = (selector.slot, NONE);
    if !arms.is_empty() {
        let unit = client.unit(selector.unit4_bits, selector.unit6_bits);
        let hash = view.records.deployment_key.hash_unit(view.records.hash_prefix_of(selector), unit);
        let arm = &arms[arms.partition_point(|arm| arm.last < hash)];
        counters.count_labelled(arm.counter);
        (slot, taken) = (arm.slot, arm.counter);
        client.raise_scope(unit.bits);
    }
    let partition = view.map.partition(slot, source, client.by_ecs);
    client.raise_scope(row.depths[usize::from(partition)]);
    let place = if row.is_special { FALLBACK } else { view.map.plan_place(row.class, partition) };
    Placed { client, partition, arm: taken, place }
}

/// The plan at a place.
pub(super) fn plan_at(view: &View<'_>, placed: &Placed) -> u32 {
    match placed.place {
        FALLBACK => view.map.fallback_plan(placed.partition),
        place => view.map.plan_at(place),
    }
}

/// The addresses that a plan comes to, where only A or AAAA is wanted and no share decides.
pub(super) fn expected_addresses<'s>(view: &View<'s>, wanted: Wanted, plan: u32) -> Option<&'s [u8]> {
    let choice = view.choices.choice(plan);
    match wanted {
        _ if choice.alternative_count > 0 => None,
        Wanted::A => view.choices.addresses(choice.set_a, false),
        Wanted::Aaaa => view.choices.addresses(choice.set_aaaa, true),
        _ => None,
    }
}

/// Steps 4 and 5: from the plan to what is answered.
pub(super) fn choose<'s>(
    view: &View<'s>,
    wanted: Wanted,
    kind: u16,
    id: u32,
    placed: &Placed,
    plan: u32,
    counters: &Counters,
) -> Chosen<'s> {
    let steered = view.records.steered(id);
    let choice = view.choices.choice(plan);
    let first = first_sought(wanted, steered);
    let picked = pick(view, choice, placed.client, first);
    count(&picked, steered, counters);
    let reason = |picked: &Picked<'_>| Reason {
        by_ecs: placed.client.by_ecs,
        is_forced: false,
        arm: placed.arm,
        rule: choice.rule_counter,
        target: picked.winner.target_counter,
    };
    let second = |sought| pick(view, choice, placed.client, sought);
    give(view, wanted, kind, steered, picked, second, reason)
}

/// Step 1: what beats every rule, if anything does.
pub(super) fn forced<'s>(
    view: &View<'s>,
    wanted: Wanted,
    kind: u16,
    id: u32,
    counters: &Counters,
) -> Option<Chosen<'s>> {
    let choice = view.choices.forced(id)?;
    let steered = view.records.steered(id);
    let pick = |sought: Sought| Picked {
        choice,
        winner: choice,
        index: sought.of(choice),
        client: Client::default(),
    };
    let picked = pick(first_sought(wanted, steered));
    count(&picked, steered, counters);
    if picked.index != NONE {
        counters.count(Counter::AnswersForced);
    }
    let (rule, target) = (choice.rule_counter, choice.target_counter);
    let reason = |_: &Picked<'_>| Reason { by_ecs: false, is_forced: true, arm: NONE, rule, target };
    Some(give(view, wanted, kind, steered, picked, pick, reason))
}

/// The unit of whoever would decide, were nothing forced.
pub(super) fn unit_of(view: &View<'_>, ecs: Option<&Ecs>, source: u128) -> UnitKey {
    let is_usable = |client: &Client| !view.map.find_row(client.family, client.key).is_special;
    ecs.filter(|ecs| ecs.source_bits > 0)
        .and_then(Ecs::client)
        .map(|address| Client::at(address, true, 0))
        .filter(is_usable)
        .unwrap_or_else(|| Client::from_source(source, 0))
        .unit_key()
}

/// The unit of a source address.
pub(super) fn source_unit(source: u128) -> UnitKey {
    Client::from_source(source, 0).unit_key()
}

/// The unit that ECS names, where SOURCE tells all of it.
pub(super) fn named_unit(ecs: &Ecs) -> Option<UnitKey> {
    let address = ecs.client()?;
    let unit_bits = if address.is_ipv6 { RESOLVER_UNIT6_BITS } else { RESOLVER_UNIT4_BITS };
    let is_told = ecs.source_bits >= address.added_bits + unit_bits;
    is_told.then(|| Client::at(address, true, 0).unit_key())
}

/// What is chosen first, and counted.
fn first_sought(wanted: Wanted, steered: &Steered) -> Sought {
    match wanted {
        Wanted::A => Sought::Ipv4,
        Wanted::Aaaa => Sought::Ipv6,
        Wanted::Cname => Sought::Host,
        Wanted::Service | Wanted::Explanation => match steered.flags {
            flags if flags & STEERED_A != 0 => Sought::Ipv4,
            flags if flags & STEERED_AAAA != 0 => Sought::Ipv6,
            _ => Sought::Host,
        },
    }
}

/// What a client gets of a choice.
#[inline(always)]
fn pick<'s>(view: &View<'s>, choice: &'s Choice, client: Client, sought: Sought) -> Picked<'s> {
    if choice.alternative_count > 0 {
        return pick_weighted(view, choice, client, sought);
    }
    Picked { choice, winner: choice, index: sought.of(choice), client }
}

/// What a client gets where there are several, by its unit.
#[inline(never)]
fn pick_weighted<'s>(view: &View<'s>, choice: &'s Choice, mut client: Client, sought: Sought) -> Picked<'s> {
    let unit = client.unit(choice.unit4_bits, choice.unit6_bits);
    client.raise_scope(unit.bits);
    let candidates = view.choices.alternatives_with(choice, sought);
    let taken = winner(&view.records.deployment_key, unit, candidates);
    let taken = taken.map_or(choice, |alternative| view.choices.choice(alternative.choice));
    Picked { choice, winner: taken, index: sought.of(taken), client }
}

fn count(picked: &Picked<'_>, steered: &Steered, counters: &Counters) {
    for counter in [picked.choice.rule_counter, picked.winner.target_counter, steered.counter] {
        counters.count_labelled(counter);
    }
    if picked.index != NONE {
        counters.count(Counter::AnswersSteered);
    }
}

/// From what was picked to what is answered. `pick`: for what is chosen beside it; `reason`: for whoever asks.
#[inline(always)]
fn give<'s>(
    view: &View<'s>,
    wanted: Wanted,
    kind: u16,
    steered: &Steered,
    picked: Picked<'s>,
    pick: impl Fn(Sought) -> Picked<'s>,
    reason: impl FnOnce(&Picked<'s>) -> Reason,
) -> Chosen<'s> {
    let ttl_s = steered.ttl_s.min(picked.ttl_cap_s());
    let addresses =
        |is_ipv6| view.choices.addresses(picked.index, is_ipv6).map_or(Given::Nothing, Given::Addresses);
    let given = match wanted {
        Wanted::A => addresses(false),
        Wanted::Aaaa => addresses(true),
        Wanted::Service => return give_hints(view, kind, steered, picked, pick),
        _ if picked.index == NONE => Given::Nothing,
        Wanted::Cname => Given::Host(picked.index),
        Wanted::Explanation => Given::Explanation(reason(&picked)),
    };
    // ECS-13: what there is never depends on the client.
    let scope_bits = if matches!(given, Given::Nothing) { 0 } else { picked.client.scope_bits };
    Chosen { given, ttl_s, scope_bits }
}

/// Step 5: the hints of SVCB and HTTPS agree with what A and AAAA are told (DNS-12). `first`: for A, or for
/// AAAA where there is no A.
#[inline(never)]
fn give_hints<'s>(
    view: &View<'s>,
    kind: u16,
    steered: &Steered,
    first: Picked<'s>,
    pick: impl Fn(Sought) -> Picked<'s>,
) -> Chosen<'s> {
    let has = |flag| steered.flags & flag != 0;
    let second = if has(STEERED_A) && has(STEERED_AAAA) { pick(Sought::Ipv6) } else { first };
    let ipv4 = view.choices.addresses(first.index, false).filter(|_| has(STEERED_A));
    let ipv6 = view.choices.addresses(second.index, true).filter(|_| has(STEERED_AAAA));
    let cap_s = first.ttl_cap_s().min(second.ttl_cap_s());
    match view.records.steered_rrset(steered, kind) {
        Some(rrset) => Chosen {
            given: Given::Hints(rrset, [ipv4, ipv6].map(Option::unwrap_or_default)),
            ttl_s: rrset.ttl_s.min(cap_s),
            scope_bits: first.client.scope_bits,
        },
        None => Chosen { given: Given::Nothing, ttl_s: cap_s, scope_bits: 0 },
    }
}
