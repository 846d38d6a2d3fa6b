//! What is to be done, each thing once, the least first.
//!
//! **Internal**: for the engine and the simulator of this workspace; no part of the interface, and may change
//! with any version.

use std::collections::VecDeque;

/// An ordered set that is emptied from its least element on. It is small almost always and refilled at every input, so it keeps
/// its memory; what comes in order, as most does, is put at its end without a search.
#[derive(Clone, Debug)]
pub struct Worklist<T> {
    /// Ascending.
    items: VecDeque<T>,
}

impl<T> Default for Worklist<T> {
    fn default() -> Worklist<T> {
        Worklist { items: VecDeque::new() }
    }
}

impl<T: Ord> Worklist<T> {
    /// Puts it in its place; nothing if it is there already.
    pub fn insert(&mut self, item: T) {
        if self.items.back().is_none_or(|last| *last < item) {
            return self.items.push_back(item);
        }
        if let Err(place) = self.items.binary_search(&item) {
            self.items.insert(place, item);
        }
    }

    /// Takes it out, if it is there.
    pub fn remove(&mut self, item: &T) {
        if let Ok(place) = self.items.binary_search(item) {
            self.items.remove(place);
        }
    }

    /// Takes the least.
    pub fn pop_first(&mut self) -> Option<T> {
        self.items.pop_front()
    }
}

impl<T: Ord> Extend<T> for Worklist<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.insert(item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeSet;

    quickcheck! {
        fn it_gives_what_an_ordered_set_gives(script: Vec<(u8, u8)>) -> bool {
            let (mut list, mut set) = (Worklist::default(), BTreeSet::new());
            script.into_iter().all(|(what, item)| match what % 4 {
                0 => list.pop_first() == set.pop_first(),
                1 => {
                    list.remove(&item);
                    set.remove(&item);
                    true
                }
                _ => {
                    list.insert(item);
                    set.insert(item);
                    list.items.iter().eq(&set)
                }
            })
        }
    }
}
