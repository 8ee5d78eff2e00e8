//! Values by number, where the number of a value that is gone never names another. Pure.
//!
//! The kernel hands back with an event the number that a descriptor was registered with; the
//! descriptor may be closed, and its place taken, since the event was fetched.

/// Names a value of one [`Slab`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) index: u32,
    /// Below 2^28.
    pub(super) generation: u32,
}

const GENERATIONS: u32 = 1 << 28;

/// The values.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Adds a value.
    pub(super) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index as usize)
        {
            place.generation = (place.generation + 1) % GENERATIONS;
            place.value = Some(value);
            return Key {
                index,
                generation: place.generation,
            };
        }
        // There are never more values than descriptors.
        let index = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place {
            generation: 0,
            value: Some(value),
        });
        Key {
            index,
            generation: 0,
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        (place.generation == key.generation).then_some(place.value.as_ref())?
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        (place.generation == key.generation).then_some(place.value.as_mut())?
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        self.free.push(key.index);
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().zip(0..).filter_map(|(place, index)| {
            let generation = place.generation;
            Some((Key { index, generation }, place.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_names_another_value() {
        let mut slab = Slab::default();
        let (one, two) = (slab.insert(1), slab.insert(2));
        assert_eq!(slab.remove(one), Some(1));
        assert_eq!(slab.get(one), None);
        assert_eq!(slab.remove(one), None);
        let three = slab.insert(3);
        assert_eq!((three.index, slab.len()), (one.index, 2));
        assert_eq!(slab.get(one), None);
        assert_eq!(slab.get_mut(three), Some(&mut 3));
        let all: Vec<_> = slab.iter().map(|(key, value)| (key, *value)).collect();
        assert_eq!(all, [(three, 3), (two, 2)]);
    }
}
