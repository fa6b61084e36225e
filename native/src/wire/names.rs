//! Names in messages: the labels of a question, and compression (RFC 1035 section 4.1.4).
use super::message::{Full, Message};

const MAX_NAME_BYTES: usize = 255;
const MAX_LABELS: usize = 127; // of one octet each, with the root's
const MAX_LABEL_BYTES: u8 = 63;
const MAX_ENTRIES: usize = 128;
const POINTER: u16 = 0xc000;
const POINTABLE: usize = 0x4000; // a pointer's offset has 14 bits

/// Where the labels of a question start, from its left; reused from query to query.
#[derive(Clone, Copy, Debug)]
pub struct Labels {
    offsets: [u16; MAX_LABELS],
    count: u8,
}

/// A tree of names, by number; 0 is the root.
pub trait NameTree {
    /// The name without its first label.
    fn parent(&self, name: u32) -> u32;
    /// The first label's length octet and octets.
    fn label(&self, name: u32) -> &[u8];
}

/// Where in the message which name stands.
#[derive(Clone, Copy, Debug)]
pub struct Compressor {
    entries: [(u32, u16); MAX_ENTRIES],
    count: usize,
}

impl Default for Labels {
    fn default() -> Self {
        Self { offsets: [0; MAX_LABELS], count: 0 }
    }
}

impl Labels {
    /// Reads an uncompressed name; returns where it ends. Nothing when it is cut off, has a pointer or
    /// another label type, or more than 255 octets.
    pub fn read(&mut self, packet: &[u8], start: usize) -> Option<usize> {
        let (mut offset, mut count) = (start, 0);
        loop {
            let length = *packet.get(offset)?;
            if offset - start + usize::from(length) >= MAX_NAME_BYTES {
                return None;
            }
            match length {
                0 => break,
                1..=MAX_LABEL_BYTES => *self.offsets.get_mut(count)? = offset as u16,
                _ => return None,
            }
            offset += usize::from(length) + 1;
            count += 1;
        }
        self.count = count as u8;
        Some(offset + 1)
    }

    /// How many there are, without the root's.
    pub fn count(&self) -> u8 {
        self.count
    }

    /// The labels that `read` found in `packet`, length octets included, the rightmost first.
    pub fn from_the_right<'p>(&self, packet: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
        let offsets = &self.offsets[..usize::from(self.count)];
        offsets.iter().rev().filter_map(move |&offset| {
            let rest = packet.get(usize::from(offset)..)?;
            rest.get(..=usize::from(*rest.first()?))
        })
    }

    /// Where the suffix of so many labels starts.
    fn suffix_offset(&self, labels: usize) -> Option<u16> {
        self.offsets.get(usize::from(self.count).checked_sub(labels)?).copied()
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self { entries: [(0, 0); MAX_ENTRIES], count: 0 }
    }
}

impl Compressor {
    /// Starts a message: knows the question's suffix `name`, which has so many labels, and what it ends in.
    pub fn start(&mut self, tree: &impl NameTree, question: &Labels, name: u32, labels: u8) {
        self.count = 0;
        let mut name = name;
        for labels in (1..=usize::from(labels)).rev() {
            if let Some(offset) = question.suffix_offset(labels) {
                self.keep(name, usize::from(offset));
            }
            name = tree.parent(name);
        }
    }

    /// Writes a name: as many labels as are not known yet, then a pointer or the root.
    pub fn write(&mut self, message: &mut Message<'_>, tree: &impl NameTree, name: u32) -> Result<(), Full> {
        let known = self.count; // what is written now ends in nothing that is written now
        let mut name = name;
        while name != 0 {
            if let Some(&(_, offset)) = self.entries[..known].iter().find(|&&(entry, _)| entry == name) {
                return message.put_u16(POINTER | offset);
            }
            self.keep(name, message.length());
            message.put(tree.label(name))?;
            name = tree.parent(name);
        }
        message.put(&[0])
    }

    /// Forgets what was written from an offset on: it has been taken back.
    pub fn forget_from(&mut self, offset: usize) {
        // Offsets rise from entry to entry.
        while self.count > 0 && usize::from(self.entries[self.count - 1].1) >= offset {
            self.count -= 1;
        }
    }

    fn keep(&mut self, name: u32, offset: usize) {
        if offset < POINTABLE && self.count < MAX_ENTRIES {
            self.entries[self.count] = (name, offset as u16);
            self.count += 1;
        }
    }
}
