//! Tables of a map, from leaves that cover the whole space of both families.
use super::PartBuilder;
use crate::snapshot::format::{
    DIRECT_BITS, MapShape, PartKind, ROW, SPECIAL, STRIDE_BITS, Section, SourceStart, TrieNode,
};

/// A piece of a family's space.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leaf {
    /// Its first key.
    pub key: u64,
    /// Bits that all its keys share, 0 to 64.
    pub bits: u32,
    /// Its class.
    pub class: u32,
    /// Whether it is of a special-purpose block.
    pub is_special: bool,
}

/// The tables of `map`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "docs/snapshot_format.md explains each")]
pub struct MapTables {
    pub shape: MapShape,
    pub direct: [Vec<u32>; 2],
    pub nodes: Vec<TrieNode>,
    pub rows: Vec<u8>,
    pub plan_of_class: Vec<u32>,
    pub fallback_plan: Vec<u32>,
    pub source_starts: Vec<SourceStart>,
    pub source_classes: Vec<u16>,
    pub views: Vec<u16>,
}

/// One leaf that is a whole space.
pub fn whole_space(class: u32) -> Vec<Leaf> {
    vec![Leaf { key: 0, bits: 0, class, is_special: false }]
}

impl Leaf {
    fn last(&self) -> u64 {
        self.key | u64::MAX.checked_shr(self.bits).unwrap_or(0)
    }
}

impl MapTables {
    /// A map of one slot; class c has plan c in every partition. `leaves`: of IPv4 and IPv6, each by rising
    /// key, without gaps. The depth is a leaf's bits in each partition.
    pub fn new(leaves: [&[Leaf]; 2], class_count: u32, partition_count: u32) -> Self {
        let row_bytes = (4 + partition_count).next_multiple_of(4);
        let mut tables = Self {
            shape: MapShape {
                partition_count,
                class_count,
                plan_count: class_count,
                row_bytes,
                slot_count: 1,
                source_class_count: 1,
                ..MapShape::default()
            },
            direct: [Vec::new(), Vec::new()],
            nodes: Vec::new(),
            rows: Vec::new(),
            plan_of_class: (0..class_count).flat_map(|class| vec![class; partition_count as usize]).collect(),
            fallback_plan: vec![0; partition_count as usize],
            source_starts: Vec::new(),
            source_classes: Vec::new(),
            views: vec![0, 0],
        };
        for (family, leaves) in leaves.into_iter().enumerate() {
            tables.direct[family] = tables.direct_table(leaves);
        }
        tables.shape.row_count = (tables.rows.len() / row_bytes as usize) as u32;
        tables.shape.node_count = tables.nodes.len() as u32;
        tables
    }

    /// The part's bytes.
    pub fn build(&self) -> Vec<u8> {
        PartBuilder::new(PartKind::Map)
            .with(Section::MapShape, &[self.shape])
            .with(Section::V4Direct, &self.direct[0])
            .with(Section::V6Direct, &self.direct[1])
            .with(Section::TrieNodes, &self.nodes)
            .with(Section::LeafRows, &self.rows)
            .with(Section::PlanOfClass, &self.plan_of_class)
            .with(Section::FallbackPlan, &self.fallback_plan)
            .with(Section::SourceStarts, &self.source_starts)
            .with(Section::SourceClasses, &self.source_classes)
            .with(Section::Views, &self.views)
            .build()
    }

    fn direct_table(&mut self, leaves: &[Leaf]) -> Vec<u32> {
        let (mut table, mut waiting) = (Vec::new(), Vec::new());
        let mut last: Option<(Leaf, u32)> = None;
        for slot in 0..1_u64 << DIRECT_BITS {
            let key = slot << (64 - DIRECT_BITS);
            let leaf = leaf_at(leaves, key);
            if leaf.bits > DIRECT_BITS {
                table.push((self.nodes.len() + waiting.len()) as u32);
                waiting.push((key, DIRECT_BITS));
            } else {
                let row = last
                    .filter(|(known, _)| *known == leaf)
                    .map_or_else(|| self.add_row(leaf), |(_, row)| row);
                last = Some((leaf, row));
                table.push(row | ROW);
            }
        }
        let first_node = self.nodes.len();
        let mut position = 0;
        while let Some(&(key, consumed)) = waiting.get(position) {
            position += 1;
            let first_child = (first_node + waiting.len()) as u32;
            let node = self.node(leaves, key, consumed, first_child, &mut waiting);
            self.nodes.push(node);
        }
        table
    }

    fn node(
        &mut self,
        leaves: &[Leaf],
        key: u64,
        consumed: u32,
        first_child: u32,
        waiting: &mut Vec<(u64, u32)>,
    ) -> TrieNode {
        let first_row = (self.rows.len() / self.shape.row_bytes as usize) as u32;
        let mut node = TrieNode { children: 0, leaves: 0, first_child, first_row };
        let mut last = None;
        for slot in 0..64_u64 {
            let key = key | (slot << (64 - STRIDE_BITS)) >> consumed;
            let leaf = leaf_at(leaves, key);
            if leaf.bits > consumed + STRIDE_BITS {
                node.children |= 1 << slot;
                waiting.push((key, consumed + STRIDE_BITS));
                last = None;
            } else if last != Some(leaf) {
                node.leaves |= 1 << slot;
                self.add_row(leaf);
                last = Some(leaf);
            }
        }
        node
    }

    fn add_row(&mut self, leaf: Leaf) -> u32 {
        let row = self.rows.len() / self.shape.row_bytes as usize;
        let class = if leaf.is_special { leaf.class | SPECIAL } else { leaf.class };
        self.rows.extend_from_slice(&class.to_le_bytes());
        self.rows.resize(self.rows.len() + self.shape.partition_count as usize, leaf.bits as u8);
        self.rows.resize((row + 1) * self.shape.row_bytes as usize, 0);
        row as u32
    }
}

/// The leaf that holds a key, looked for the plain way.
fn leaf_at(leaves: &[Leaf], key: u64) -> Leaf {
    let index = leaves.partition_point(|leaf| leaf.last() < key);
    leaves[index]
}
