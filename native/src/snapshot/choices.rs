//! The choices of a snapshot: the addresses that each plan comes to under the POPs' present state.
use std::hint::black_box;

use super::format::{
    AddressSet, Alternative, CONDITION_STALE, Choice, Condition, LABELLED_COUNT, NONE, PartKind, Section,
    ZONE_NOT_READY,
};
use super::part::{BadPart, Part, prove, prove_slice};

/// Octets of an IPv4 and of an IPv6 address.
const ADDRESS_BYTES: [usize; 2] = [4, 16];
const MAX_ADDRESSES: u32 = 64;

/// What is looked for in a choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sought {
    /// A set of IPv4 addresses.
    Ipv4,
    /// A set of IPv6 addresses.
    Ipv6,
    /// The host that a CNAME leads to.
    Host,
}

/// The proved part `choices`.
#[derive(Debug)]
pub struct Choices {
    /// 16 bytes that name the part's inputs.
    pub identity: [u8; 16],
    choices: Vec<Choice>,
    alternatives: Vec<Alternative>,
    sets: Vec<AddressSet>,
    addresses: Vec<u8>,
    forced: Vec<u32>,
    bytes: Vec<u8>,
    condition: Condition,
    zone_states: Vec<u32>,
}

impl Choices {
    /// Proves a part and copies it.
    /// # Errors
    /// The first invariant of `docs/snapshot_format.md` that fails.
    pub fn load(data: &[u8]) -> Result<Self, BadPart> {
        let part = Part::open(data, PartKind::Choices, true)?;
        let choices = Self {
            identity: part.identity,
            choices: part.items(Section::Choices)?,
            alternatives: part.items(Section::Alternatives)?,
            sets: part.items(Section::Sets)?,
            addresses: part.items(Section::Addresses)?,
            forced: part.items(Section::Forced)?,
            bytes: part.items(Section::ChoiceBytes)?,
            condition: part.single(Section::Condition)?,
            zone_states: part.items(Section::ZoneStates)?,
        };
        choices.prove()?;
        Ok(choices)
    }

    /// Which choices there are: those of the plans, then forced ones.
    pub fn count(&self) -> usize {
        self.choices.len()
    }

    /// For how many steered names a forced choice is known, or that there is none.
    pub fn forced_count(&self) -> usize {
        self.forced.len()
    }

    /// Of how many zones the state is known.
    pub fn zone_count(&self) -> usize {
        self.zone_states.len()
    }

    /// Whether a zone serves, is stale, or is not ready.
    pub fn zone_state(&self, zone: u32) -> u32 {
        self.zone_states[zone as usize]
    }

    /// The states of the POPs are old.
    pub fn is_stale(&self) -> bool {
        self.condition.flags & CONDITION_STALE != 0
    }

    /// A bound on the CNAME hosts in use: all are below.
    pub fn cname_hosts_used(&self) -> u32 {
        let used = self.choices.iter().map(|choice| choice.cname).filter(|&cname| cname != NONE);
        used.max().map_or(0, |cname| cname + 1)
    }

    /// A choice by its index.
    pub fn choice(&self, index: u32) -> &Choice {
        &self.choices[index as usize]
    }

    /// Brings choices into the cache, all at once.
    pub fn touch(&self, indices: impl Iterator<Item = u32>) {
        black_box(indices.fold(0, |sum, index| sum ^ self.choices[index as usize].set_a));
    }

    /// The choice that beats every rule for a steered name.
    pub fn forced(&self, steered: u32) -> Option<&Choice> {
        let index = self.forced[steered as usize];
        (index != NONE).then(|| self.choice(index))
    }

    /// Addresses of a set, 4 or 16 octets each; nothing for NONE. `is_ipv6`: the set was named for AAAA.
    pub fn addresses(&self, set: u32, is_ipv6: bool) -> Option<&[u8]> {
        let set = self.sets.get(set as usize)?;
        let start = set.offset as usize;
        self.addresses.get(start..start + set.count as usize * ADDRESS_BYTES[usize::from(is_ipv6)])
    }

    /// A weighted choice's alternatives that have something of this kind, each with what is hashed before the
    /// unit.
    pub fn alternatives_with(
        &self,
        choice: &Choice,
        sought: Sought,
    ) -> impl Iterator<Item = (&Alternative, &[u8])> {
        let start = choice.alternative_offset as usize;
        self.alternatives[start..start + usize::from(choice.alternative_count)]
            .iter()
            .filter(move |alternative| sought.of(self.choice(alternative.choice)) != NONE)
            .map(|alternative| {
                let start = alternative.hash_offset as usize;
                (alternative, &self.bytes[start..start + alternative.hash_bytes as usize])
            })
    }

    fn prove(&self) -> Result<(), BadPart> {
        for (index, choice) in self.choices.iter().enumerate() {
            self.prove_choice(index, choice)?;
        }
        for (index, alternative) in self.alternatives.iter().enumerate() {
            prove!(alternative.weight > 0, "alternative {index} has no weight");
            let choice = alternative.choice;
            prove!((choice as usize) < self.choices.len(), "alternative {index}: no choice {choice}");
            let (offset, count) = (alternative.hash_offset, alternative.hash_bytes);
            prove_slice("hash of alternative", index, offset, count, self.bytes.len())?;
        }
        for (index, set) in self.sets.iter().enumerate() {
            prove!((1..=MAX_ADDRESSES).contains(&set.count), "set {index} of {} addresses", set.count);
        }
        for (index, &choice) in self.forced.iter().enumerate() {
            let known = choice == NONE || (choice as usize) < self.choices.len();
            prove!(known, "forced {index}: no choice {choice}");
        }
        for (index, &state) in self.zone_states.iter().enumerate() {
            prove!(state <= ZONE_NOT_READY, "zone {index} is in state {state}");
        }
        Ok(())
    }

    fn prove_choice(&self, index: usize, choice: &Choice) -> Result<(), BadPart> {
        for (id, address_bytes) in [choice.set_a, choice.set_aaaa].into_iter().zip(ADDRESS_BYTES) {
            if id == NONE {
                continue;
            }
            let set = self.sets.get(id as usize);
            prove!(set.is_some(), "choice {index}: no set {id}");
            let end = set.map_or(0, |set| set.offset as usize + set.count as usize * address_bytes);
            prove!(end <= self.addresses.len(), "choice {index}: set {id} passes the end of the addresses");
        }
        for counter in [choice.rule_counter, choice.target_counter] {
            prove!((counter as usize) < LABELLED_COUNT, "choice {index}: no counter {counter}");
        }
        prove!(choice.unit4_bits <= 32 && choice.unit6_bits <= 64, "choice {index}: unit too long");
        let (offset, count) = (choice.alternative_offset, u32::from(choice.alternative_count));
        prove_slice("alternatives of choice", index, offset, count, self.alternatives.len())
    }
}

impl Sought {
    /// What a choice has of this kind: a set's index or a host's, or NONE.
    pub fn of(self, choice: &Choice) -> u32 {
        match self {
            Self::Ipv4 => choice.set_a,
            Self::Ipv6 => choice.set_aaaa,
            Self::Host => choice.cname,
        }
    }
}
