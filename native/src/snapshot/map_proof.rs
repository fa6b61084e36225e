//! Proves the part `map`: after it, every key ends at a row, and every row at a plan, without leaving a
//! table.
use super::format::{CLASS_BYTES, DIRECT_BITS, MAX_NODES_DEEP, ROW, SPECIAL, TrieNode};
use super::map::MapView;
use super::part::{BadPart, prove};

const MAX_DEPTH: u8 = 64;
const DIRECT_ENTRIES: usize = 1 << DIRECT_BITS;

/// Proves that sections, which lie at multiples of 64 bytes, can be used in place.
/// # Errors
/// When the buffer starts elsewhere than at a multiple of 8 bytes.
pub(super) fn prove_aligned(storage: &[u8]) -> Result<(), BadPart> {
    prove!(storage.as_ptr().addr() % align_of::<u64>() == 0, "the map's buffer is not aligned");
    Ok(())
}

/// Proves all tables.
/// # Errors
/// The first invariant that fails.
pub(super) fn prove(map: &MapView<'_>) -> Result<(), BadPart> {
    prove_counts(map)?;
    prove_nodes(map)?;
    prove_rows(map)?;
    let shape = map.shape;
    for (what, plans) in [("plan of class", map.plan_of_class), ("fallback plan", map.fallback_plan)] {
        let lost = plans.iter().position(|&plan| plan >= shape.plan_count);
        prove!(lost.is_none(), "{what} {}: beyond {} plans", lost.unwrap_or_default(), shape.plan_count);
    }
    let lost = map.views.iter().find(|&&partition| u32::from(partition) >= shape.partition_count);
    prove!(lost.is_none(), "views: no partition {}", lost.copied().unwrap_or_default());
    let starts = map.source_starts;
    prove!(
        starts.first().is_none_or(|start| start.high == 0 && start.low == 0),
        "source starts: the first is not 0"
    );
    let sorted = starts.windows(2).all(|pair| (pair[0].high, pair[0].low) < (pair[1].high, pair[1].low));
    prove!(sorted, "source starts are not sorted");
    let lost = map.source_classes.iter().find(|&&class| u32::from(class) >= shape.source_class_count);
    prove!(lost.is_none(), "source classes: no class {}", lost.copied().unwrap_or_default());
    Ok(())
}

fn prove_counts(map: &MapView<'_>) -> Result<(), BadPart> {
    let shape = map.shape;
    let [partitions, classes, rows, row_bytes, slots, sources] = [
        shape.partition_count,
        shape.class_count,
        shape.row_count,
        shape.row_bytes,
        shape.slot_count,
        shape.source_class_count,
    ]
    .map(|count| count as usize);
    prove!(partitions > 0 && classes > 0 && rows > 0 && sources > 0, "a count of the map is 0: {shape:?}");
    prove!(
        rows < ROW as usize && shape.node_count < ROW && shape.class_count <= SPECIAL,
        "map too large: {shape:?}"
    );
    prove!(
        row_bytes >= CLASS_BYTES + partitions,
        "rows of {row_bytes} bytes cannot hold {partitions} depths"
    );
    let expected = [
        ("V4_DIRECT", map.direct[0].len(), Some(DIRECT_ENTRIES)),
        ("V6_DIRECT", map.direct[1].len(), Some(DIRECT_ENTRIES)),
        ("TRIE_NODES", map.nodes.len(), Some(shape.node_count as usize)),
        ("LEAF_ROWS", map.rows.len(), rows.checked_mul(row_bytes)),
        ("PLAN_OF_CLASS", map.plan_of_class.len(), classes.checked_mul(partitions)),
        ("FALLBACK_PLAN", map.fallback_plan.len(), Some(partitions)),
        ("SOURCE_CLASSES", map.source_classes.len(), Some(map.source_starts.len())),
        ("VIEWS", map.views.len(), slots.checked_mul(sources).and_then(|views| views.checked_mul(2))),
    ];
    for (section, items, due) in expected {
        prove!(due == Some(items), "{section} has {items} items, {due:?} are due");
    }
    Ok(())
}

/// Children stand after their parents and no way down has more than 8 nodes, so that every walk ends, and at
/// a row.
fn prove_nodes(map: &MapView<'_>) -> Result<(), BadPart> {
    let mut deep = vec![0_u8; map.nodes.len()]; // nodes on the longest way to and including each
    for (family, table) in map.direct.iter().enumerate() {
        for (slot, &entry) in table.iter().enumerate() {
            if entry & ROW != 0 {
                let row = entry ^ ROW;
                prove!(row < map.shape.row_count, "direct table {family}, slot {slot}: no row {row}");
            } else {
                let known = deep.get_mut(entry as usize);
                prove!(known.is_some(), "direct table {family}, slot {slot}: no node {entry}");
                known.into_iter().for_each(|known| *known = (*known).max(1));
            }
        }
    }
    for (index, node) in map.nodes.iter().enumerate() {
        prove_leaves(map, index, node)?;
        let (first, count) = (node.first_child as usize, node.children.count_ones() as usize);
        if count == 0 {
            continue;
        }
        prove!(
            first > index && first + count <= map.nodes.len(),
            "node {index}: children at {first}+{count}"
        );
        prove!(deep[index] < MAX_NODES_DEEP, "node {index} is {} nodes deep and has children", deep[index]);
        let next = deep[index] + 1;
        for known in &mut deep[first..first + count] {
            *known = (*known).max(next);
        }
    }
    Ok(())
}

/// Every slot without a child has a run's start at or before it, and the last run is a row.
fn prove_leaves(map: &MapView<'_>, index: usize, node: &TrieNode) -> Result<(), BadPart> {
    if node.children == u64::MAX {
        return Ok(());
    }
    let (first_leaf, last_leaf) = (node.children.trailing_ones(), 63 - node.children.leading_ones());
    let runs = |slot: u32| u64::from((node.leaves & (2_u64 << slot).wrapping_sub(1)).count_ones());
    prove!(runs(first_leaf) > 0, "node {index}: slot {first_leaf} has no row");
    let last_row = u64::from(node.first_row) + runs(last_leaf) - 1;
    prove!(last_row < u64::from(map.shape.row_count), "node {index}: no row {last_row}");
    Ok(())
}

fn prove_rows(map: &MapView<'_>) -> Result<(), BadPart> {
    let partitions = map.shape.partition_count as usize;
    for (index, row) in map.rows.chunks_exact(map.shape.row_bytes as usize).enumerate() {
        let (class, depths) = row.split_at(CLASS_BYTES);
        let class = u32::from_le_bytes([class[0], class[1], class[2], class[3]]) & !SPECIAL;
        prove!(class < map.shape.class_count, "row {index}: no class {class}");
        let deepest = depths[..partitions].iter().fold(0, |deepest, &depth| deepest.max(depth));
        prove!(deepest <= MAX_DEPTH, "row {index}: depth {deepest}");
    }
    Ok(())
}
