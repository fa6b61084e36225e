//! Opens a part: proves header, checksum and section table of a buffer, and hands out its sections.
use std::fmt;
use std::ops::Range;

use bytemuck::Pod;

use super::format::{Header, PartKind, Section, TableEntry};

const MAGIC: [u8; 8] = *b"STEERSNP";
/// Version of the format.
pub(super) const VERSION: u32 = 2;
const ALIGNMENT: usize = 64;
const HEADER_BYTES: usize = size_of::<Header>();

/// Why a part is refused: which of the format's invariants fails, and where. The old part keeps serving.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadPart(pub String);

impl fmt::Display for BadPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadPart {}

/// `Err` with the sentence unless the invariant holds.
macro_rules! prove {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err($crate::snapshot::part::BadPart(format!($($sentence)+)));
        }
    };
}
pub(crate) use prove;

/// A part whose frame is proved: every section lies inside `data`, aligned, none twice.
#[derive(Debug)]
pub(super) struct Part<'d> {
    data: &'d [u8],
    table: Vec<TableEntry>,
    /// 16 bytes that name the part's inputs.
    pub(super) identity: [u8; 16],
}

impl<'d> Part<'d> {
    /// Opens `data` as a whole part of this kind.
    /// # Errors
    /// When it is cut off, changed, of another version or kind, or its table points outside it.
    pub(super) fn open(data: &'d [u8], kind: PartKind, check_crc32: bool) -> Result<Self, BadPart> {
        prove!(data.len() >= HEADER_BYTES, "{} bytes are too few for a header", data.len());
        let (front, body) = data.split_at(HEADER_BYTES);
        let header: Header = bytemuck::pod_read_unaligned(front);
        prove!(header.magic == MAGIC && header.version == VERSION, "not a snapshot part of this version");
        prove!(
            header.part == kind as u32 && header.total_bytes == data.len() as u64,
            "part {} of {} bytes, got {} for part {}",
            header.part,
            header.total_bytes,
            data.len(),
            kind as u32
        );
        prove!(!check_crc32 || crc32fast::hash(body) == header.crc32, "checksum differs");
        let table_bytes = header.section_count as usize * size_of::<TableEntry>();
        prove!(table_bytes <= body.len(), "section table cut off");
        let table: Vec<TableEntry> = bytemuck::pod_collect_to_vec(&body[..table_bytes]);
        for (index, entry) in table.iter().enumerate() {
            let start = entry.offset;
            let end = u64::from(entry.item_bytes)
                .checked_mul(entry.count)
                .and_then(|bytes| bytes.checked_add(start));
            let inside = start as usize % ALIGNMENT == 0
                && start >= (HEADER_BYTES + table_bytes) as u64
                && end.is_some_and(|end| end <= data.len() as u64);
            let again = table[..index].iter().any(|other| other.section == entry.section);
            prove!(inside && !again, "section {} lies outside the part or twice in it", entry.section);
        }
        Ok(Self { data, table, identity: header.identity })
    }

    /// Where the items of a section lie in the part's bytes.
    /// # Errors
    /// When the section is absent or of another item size.
    pub(super) fn span<T: Pod>(&self, section: Section) -> Result<Range<usize>, BadPart> {
        let entry = self.table.iter().find(|entry| entry.section == section as u32);
        let item_bytes = entry.map_or(0, |entry| entry.item_bytes as usize);
        prove!(
            item_bytes == size_of::<T>(),
            "section {section:?} has items of {item_bytes} bytes, {} are due",
            size_of::<T>()
        );
        let entry = entry.copied().unwrap_or_default();
        let start = entry.offset as usize;
        Ok(start..start + entry.count as usize * item_bytes)
    }

    /// A copy of a section.
    /// # Errors
    /// When the section is absent or of another item size.
    pub(super) fn items<T: Pod>(&self, section: Section) -> Result<Vec<T>, BadPart> {
        Ok(bytemuck::pod_collect_to_vec(&self.data[self.span::<T>(section)?]))
    }

    /// The only item of a section.
    /// # Errors
    /// When the section has none or several.
    pub(super) fn single<T: Pod>(&self, section: Section) -> Result<T, BadPart> {
        let items = self.items::<T>(section)?;
        prove!(items.len() == 1, "section {section:?} has {} items, one is due", items.len());
        Ok(items[0])
    }
}

/// Proves that `offset..offset + count` lies inside `available` items; `what` names it in the sentence.
/// # Errors
/// When it does not.
pub(crate) fn prove_slice(
    what: &str,
    index: usize,
    offset: u32,
    count: u32,
    available: usize,
) -> Result<(), BadPart> {
    let end = offset as usize + count as usize;
    prove!(end <= available, "{what} {index}: {offset}+{count} passes the end at {available}");
    Ok(())
}
