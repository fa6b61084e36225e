//! The map of a snapshot: a key's leaf row (class and depth per partition), a class's plan. Used in place, so
//! that hundreds of megabytes are neither copied nor allocated; proved once, then walked.
use std::fmt;
use std::hint::black_box;
use std::ops::{Deref, Range};

use bytemuck::Pod;

use super::format::{
    CLASS_BYTES, DIRECT_BITS, MapShape, PartKind, ROW, SPECIAL, STRIDE_BITS, Section, SourceStart, TrieNode,
};
use super::keys::Family;
use super::map_proof;
use super::part::{BadPart, Part};

/// Bytes of a map that stay where they are: a file in memory, or a copy.
pub type Storage = Box<dyn Deref<Target = [u8]> + Send + Sync>;

/// The proved part `map`.
pub struct Map {
    storage: Storage,
    /// 16 bytes that name the part's inputs.
    pub identity: [u8; 16],
    /// Counts of the tables.
    pub shape: MapShape,
    spans: Spans,
}

/// Where each section lies in the storage.
struct Spans {
    direct: [Range<usize>; 2],
    nodes: Range<usize>,
    rows: Range<usize>,
    plan_of_class: Range<usize>,
    fallback_plan: Range<usize>,
    source_starts: Range<usize>,
    source_classes: Range<usize>,
    views: Range<usize>,
}

/// A map's tables, typed: made once for a batch of queries.
#[derive(Clone, Copy)]
pub struct MapView<'m> {
    /// 16 bytes that name the part's inputs.
    pub identity: &'m [u8; 16],
    pub(super) shape: &'m MapShape,
    pub(super) direct: [&'m [u32]; 2],
    pub(super) nodes: &'m [TrieNode],
    pub(super) rows: &'m [u8],
    pub(super) plan_of_class: &'m [u32],
    pub(super) fallback_plan: &'m [u32],
    pub(super) source_starts: &'m [SourceStart],
    pub(super) source_classes: &'m [u16],
    pub(super) views: &'m [u16],
}

/// A leaf row: what the map says of all addresses of one leaf.
#[derive(Clone, Copy, Debug)]
pub struct Row<'m> {
    /// Row of the class -> plan table, without the mark of special-purpose blocks.
    pub class: u32,
    /// A special-purpose block: the resolver's address decides (ECS-16).
    pub is_special: bool,
    /// Leaf depth in bits, per partition.
    pub depths: &'m [u8],
}

/// A copy of bytes that starts at a multiple of 8.
#[derive(Debug)]
pub struct AlignedBytes {
    words: Vec<u64>,
    length: usize,
}

impl AlignedBytes {
    /// Copies.
    pub fn new(data: &[u8]) -> Self {
        let mut words = vec![0_u64; data.len().div_ceil(size_of::<u64>())];
        bytemuck::cast_slice_mut(&mut words)[..data.len()].copy_from_slice(data);
        Self { words, length: data.len() }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }
}

impl Map {
    /// Proves a part and keeps it where it is. `storage` starts at a multiple of 8 bytes.
    /// # Errors
    /// The first invariant of `docs/snapshot_format.md` that fails.
    pub fn load(storage: Storage, check_crc32: bool) -> Result<Self, BadPart> {
        let part = Part::open(&storage, PartKind::Map, check_crc32)?;
        let (identity, shape) = (part.identity, part.single::<MapShape>(Section::MapShape)?);
        let spans = Spans {
            direct: [part.span::<u32>(Section::V4Direct)?, part.span::<u32>(Section::V6Direct)?],
            nodes: part.span::<TrieNode>(Section::TrieNodes)?,
            rows: part.span::<u8>(Section::LeafRows)?,
            plan_of_class: part.span::<u32>(Section::PlanOfClass)?,
            fallback_plan: part.span::<u32>(Section::FallbackPlan)?,
            source_starts: part.span::<SourceStart>(Section::SourceStarts)?,
            source_classes: part.span::<u16>(Section::SourceClasses)?,
            views: part.span::<u16>(Section::Views)?,
        };
        map_proof::prove_aligned(&storage)?;
        let map = Self { storage, identity, shape, spans };
        map_proof::prove(&map.view())?;
        Ok(map)
    }

    /// The tables, typed.
    pub fn view(&self) -> MapView<'_> {
        let (bytes, spans): (&[u8], _) = (&self.storage, &self.spans);
        MapView {
            identity: &self.identity,
            shape: &self.shape,
            direct: [typed(bytes, &spans.direct[0]), typed(bytes, &spans.direct[1])],
            nodes: typed(bytes, &spans.nodes),
            rows: typed(bytes, &spans.rows),
            plan_of_class: typed(bytes, &spans.plan_of_class),
            fallback_plan: typed(bytes, &spans.fallback_plan),
            source_starts: typed(bytes, &spans.source_starts),
            source_classes: typed(bytes, &spans.source_classes),
            views: typed(bytes, &spans.views),
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Map").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Row<'_> {
    /// The class as it stands in the row.
    pub fn marked_class(&self) -> u32 {
        if self.is_special { self.class | SPECIAL } else { self.class }
    }
}

impl<'m> MapView<'m> {
    /// Index of the row of every key, into `rows`, same length. All keys go down a level together, so that
    /// the cache misses of one hide behind those of the others. `pending`: as long, overwritten.
    pub fn find_rows(&self, keys: &[(Family, u64)], rows: &mut [u32], pending: &mut [u8]) {
        let mut left = 0;
        for (index, (&(family, key), row)) in keys.iter().zip(rows.iter_mut()).enumerate() {
            *row = self.direct[family as usize][(key >> (64 - DIRECT_BITS)) as usize];
            pending[left] = index as u8;
            left += usize::from(*row & ROW == 0);
        }
        let mut consumed = DIRECT_BITS;
        while left > 0 {
            // A pass that only loads has more misses under way at once than one that also works.
            black_box(pending[..left].iter().fold(0, |sum, &index| {
                let node = &self.nodes[rows[usize::from(index)] as usize];
                sum ^ node.children ^ u64::from(node.first_row)
            }));
            let mut kept = 0;
            for position in 0..left {
                let index = pending[position];
                let row = &mut rows[usize::from(index)];
                *row = self.step(*row, keys[usize::from(index)].1, consumed);
                pending[kept] = index;
                kept += usize::from(*row & ROW == 0);
            }
            (left, consumed) = (kept, consumed + STRIDE_BITS);
        }
        for row in rows {
            *row ^= ROW;
        }
    }

    /// Brings rows into the cache, all at once.
    pub fn touch_rows(&self, rows: &[u32]) {
        let row_bytes = self.shape.row_bytes as usize;
        black_box(rows.iter().fold(0, |sum, &row| sum ^ self.rows[row as usize * row_bytes]));
    }

    /// The row of one key.
    pub fn find_row(&self, family: Family, key: u64) -> Row<'m> {
        let mut row = [0];
        self.find_rows(&[(family, key)], &mut row, &mut [0]);
        self.row(row[0])
    }

    /// A row by its index.
    pub fn row(&self, index: u32) -> Row<'m> {
        let start = index as usize * self.shape.row_bytes as usize;
        let (class, depths) = self.rows[start..][..self.shape.row_bytes as usize].split_at(CLASS_BYTES);
        let class = u32::from_le_bytes([class[0], class[1], class[2], class[3]]);
        let depths = &depths[..self.shape.partition_count as usize];
        Row { class: class & !SPECIAL, is_special: class & SPECIAL != 0, depths }
    }

    /// Where the plan of a class in a partition stands: an index for `plan_at`.
    pub fn plan_place(&self, class: u32, partition: u16) -> usize {
        class as usize * self.shape.partition_count as usize + usize::from(partition)
    }

    /// The plan at a place.
    pub fn plan_at(&self, place: usize) -> u32 {
        self.plan_of_class[place]
    }

    /// The plan of clients of whom nothing is known.
    pub fn fallback_plan(&self, partition: u16) -> u32 {
        self.fallback_plan[usize::from(partition)]
    }

    /// The partition of a slot for this source. `source`: 128 bits, IPv4 as ::ffff:a.b.c.d.
    pub fn partition(&self, slot: u32, source: u128, by_ecs: bool) -> u16 {
        let class = self.source_class(source);
        let row = slot as usize * self.shape.source_class_count as usize + usize::from(class);
        self.views[row * 2 + usize::from(by_ecs)]
    }

    fn source_class(&self, source: u128) -> u16 {
        let (high, low) = ((source >> 64) as u64, source as u64);
        let after = self.source_starts.partition_point(|start| (start.high, start.low) <= (high, low));
        after.checked_sub(1).map_or(0, |index| self.source_classes[index])
    }

    /// One node down: the child, or the row with ROW set.
    fn step(&self, node: u32, key: u64, consumed: u32) -> u32 {
        let node = &self.nodes[node as usize];
        let slot = ((key << consumed) >> (64 - STRIDE_BITS)) as u32;
        let children_before = (node.children & ((1 << slot) - 1)).count_ones();
        let leaves_until = (node.leaves & (2_u64 << slot).wrapping_sub(1)).count_ones();
        let child = node.first_child.wrapping_add(children_before);
        let row = node.first_row.wrapping_add(leaves_until).wrapping_sub(1) | ROW;
        // All ones, or none: there is no branch to mispredict.
        let is_child = 0_u32.wrapping_sub((node.children >> slot & 1) as u32);
        child & is_child | row & !is_child
    }
}

fn typed<'b, T: Pod>(bytes: &'b [u8], span: &Range<usize>) -> &'b [T] {
    bytemuck::cast_slice(&bytes[span.clone()])
}
