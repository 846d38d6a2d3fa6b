//! A slab whose keys carry a generation, so that a stale id never names a newer entry.

use std::marker::PhantomData;

/// The key of an entry; ordered by slot, then generation.
pub(crate) trait Key: Copy {
    fn from_parts(slot: u32, generation: u32) -> Self;
    fn parts(self) -> (u32, u32);
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $short:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { slot: u32, generation: u32 }
        impl $crate::slots::Key for $name {
            fn from_parts(slot: u32, generation: u32) -> Self { $name { slot, generation } }
            fn parts(self) -> (u32, u32) { (self.slot, self.generation) }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($short, "#{}.{}"), self.slot, self.generation)
            }
        }
    };
}
pub(crate) use key;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

/// Entries by key. Iteration is in slot order.
#[derive(Debug)]
pub(crate) struct Slots<K, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
    key: PhantomData<K>,
}

impl<K: Key, T> Slots<K, T> {
    pub(crate) fn new() -> Slots<K, T> {
        Slots { slots: Vec::new(), free: Vec::new(), len: 0, key: PhantomData }
    }

    pub(crate) fn insert(&mut self, entry: T) -> K {
        self.len += 1;
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            place.entry = Some(entry);
            return K::from_parts(slot, place.generation);
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, entry: Some(entry) });
        K::from_parts(slot, 0)
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let (slot, generation) = key.parts();
        self.slots.get(slot as usize).filter(|s| s.generation == generation)?.entry.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (slot, generation) = key.parts();
        self.slots.get_mut(slot as usize).filter(|s| s.generation == generation)?.entry.as_mut()
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let (slot, generation) = key.parts();
        let place = self.slots.get_mut(slot as usize).filter(|s| s.generation == generation)?;
        let entry = place.entry.take()?;
        place.generation = place.generation.wrapping_add(1);
        planted!(IdUsedAgain => place.generation = 0);
        self.free.push(slot);
        self.len -= 1;
        Some(entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, s)| {
            let entry = s.entry.as_ref()?;
            Some((K::from_parts(u32::try_from(slot).unwrap_or(u32::MAX), s.generation), entry))
        })
    }

    pub(crate) fn keys(&self) -> Vec<K> {
        self.iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    key!(
        /// For the test.
        TestId,
        "test"
    );

    #[test]
    fn a_stale_key_names_nothing() {
        let mut slots: Slots<TestId, &str> = Slots::new();
        let a = slots.insert("a");
        assert_eq!(slots.remove(a), Some("a"));
        let b = slots.insert("b");
        assert_eq!(a.parts().0, b.parts().0);
        assert_eq!(slots.get(a), None);
        assert_eq!(slots.get(b), Some(&"b"));
        assert_eq!(slots.remove(a), None);
        assert_eq!(slots.len(), 1);
        assert_eq!(format!("{b:?}"), "test#0.1");
    }
}
