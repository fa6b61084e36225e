//! Which connection goes first when there is no room for another. Two lists run through one array, so that a
//! step costs the same however many connections there are: an attack makes it on every accept.

/// Slots in the order in which they may be taken from their owners.
#[derive(Debug)]
pub(super) struct Order {
    links: Box<[Link]>, // one per slot, and one more for either list, which is a ring
}

/// Neighbours in a list.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: usize,
    after: usize,
}

impl Order {
    /// Of slots 0 to `slots` - 1, none of which is in a list.
    pub(super) fn new(slots: usize) -> Self {
        Self { links: (0..slots + 2).map(|at| Link { before: at, after: at }).collect() }
    }

    /// Puts a slot at the end of the list that it belongs to now. `has_asked`: a whole query has come.
    pub(super) fn touch(&mut self, slot: usize, has_asked: bool) {
        self.remove(slot);
        let ring = self.ring(has_asked);
        let last = self.links[ring].before;
        self.links[slot] = Link { before: last, after: ring };
        self.links[last].after = slot;
        self.links[ring].before = slot;
    }

    /// Takes a slot out; does nothing where it is in no list.
    pub(super) fn remove(&mut self, slot: usize) {
        let Link { before, after } = self.links[slot];
        self.links[before].after = after;
        self.links[after].before = before;
        self.links[slot] = Link { before: slot, after: slot };
    }

    /// The slot that was touched longest ago, of those that have not asked if there are any (RFC 7766 section
    /// 6.2.3 has servers rather close what is idle).
    pub(super) fn first(&self) -> Option<usize> {
        [false, true].map(|has_asked| self.ring(has_asked)).into_iter().find_map(|ring| {
            let first = self.links[ring].after;
            (first != ring).then_some(first)
        })
    }

    fn ring(&self, has_asked: bool) -> usize {
        self.links.len() - 2 + usize::from(has_asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_asked_goes_first_and_then_the_idlest() {
        let mut order = Order::new(4);
        assert_eq!(order.first(), None);
        for (slot, has_asked) in [(2, true), (0, false), (3, false), (1, true), (0, false)] {
            order.touch(slot, has_asked);
        }
        let mut taken = Vec::new();
        while let Some(slot) = order.first() {
            order.remove(slot);
            order.remove(slot);
            taken.push(slot);
        }
        assert_eq!(taken, [3, 0, 2, 1]);
    }

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
            assert_eq!(order.first(), plain[0].first().or(plain[1].first()).copied());
        }
    }
}
