//! Connections in the order in which they last made progress: those that have asked, and those that have not.
//! Both lists run through one array, so that a step costs the same however many connections there are: under
//! attack every accept takes one.

/// Slots in two lists, each in at most one of them.
#[derive(Debug)]
pub(super) struct Order {
    links: Box<[Link]>, // one per slot, and one more for either list, which is a ring
    counts: [usize; 2],
}

/// Neighbours in a list.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: usize,
    after: usize,
    has_asked: bool,
}

impl Order {
    /// Of slots 0 to `slots` - 1, none of which is in a list.
    pub(super) fn new(slots: usize) -> Self {
        let alone = |at| Link { before: at, after: at, has_asked: false };
        Self { links: (0..slots + 2).map(alone).collect(), counts: [0; 2] }
    }

    /// Puts a slot at the end of the list that it belongs to now. `has_asked`: a whole query has come.
    pub(super) fn touch(&mut self, slot: usize, has_asked: bool) {
        self.remove(slot);
        let ring = self.ring(has_asked);
        let last = self.links[ring].before;
        self.links[slot] = Link { before: last, after: ring, has_asked };
        self.links[last].after = slot;
        self.links[ring].before = slot;
        self.counts[usize::from(has_asked)] += 1;
    }

    /// Takes a slot out; does nothing where it is in no list.
    pub(super) fn remove(&mut self, slot: usize) {
        let Link { before, after, has_asked } = self.links[slot];
        if before == slot {
            return;
        }
        self.links[before].after = after;
        self.links[after].before = before;
        self.links[slot] = Link { before: slot, after: slot, has_asked };
        self.counts[usize::from(has_asked)] -= 1;
    }

    /// The slot of a list that was touched longest ago.
    pub(super) fn first(&self, has_asked: bool) -> Option<usize> {
        let ring = self.ring(has_asked);
        Some(self.links[ring].after).filter(|&first| first != ring)
    }

    /// Slots in a list.
    pub(super) fn count(&self, has_asked: bool) -> usize {
        self.counts[usize::from(has_asked)]
    }

    fn ring(&self, has_asked: bool) -> usize {
        self.links.len() - 2 + usize::from(has_asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against two plain vectors, over a long walk.
    #[test]
    fn it_is_what_two_plain_lists_are() {
        const SLOTS: usize = 7;
        let (mut order, mut plain, mut state) = (Order::new(SLOTS), [Vec::new(), Vec::new()], 1_u32);
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (slot, act) = ((state >> 24) as usize % SLOTS, (state >> 16) as usize % 3);
            plain.iter_mut().for_each(|list| list.retain(|&other| other != slot));
            if act < 2 {
                plain[act].push(slot);
                order.touch(slot, act == 1);
            } else {
                order.remove(slot);
            }
            for has_asked in [false, true] {
                let list = &plain[usize::from(has_asked)];
                assert_eq!(order.first(has_asked), list.first().copied());
                assert_eq!(order.count(has_asked), list.len());
            }
        }
    }
}
