//! Values at small indices. A key also names the generation of its place, so that a value which took the place of
//! another is not taken for it. Read [`Slab`] first.

/// Names a value of a [`Slab`], also after the value is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    /// The key of no value.
    pub(crate) const NONE: Self = Self(u64::MAX);
    /// The key of no value, for a [`super::Metronome`].
    pub(crate) const BEAT: Self = Self(u64::MAX - 1);

    fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    /// The key as a number; [`Self::from_bits`] reads it.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The key of such a number.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The place of the value, below [`Slab::places`].
    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(usize::MAX)
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// Values at small indices, which are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Number of places, also of those without a value.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Adds a value.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, value: None });
            u32::try_from(self.places.len() - 1).expect("a process has fewer than 2^32 sockets")
        });
        let place = &mut self.places[index as usize];
        place.value = Some(value);
        Key::new(index, place.generation)
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index())?;
        let index = u32::try_from(key.index()).ok()?;
        if Key::new(index, place.generation) != key {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1) & (u32::MAX >> 1);
        self.free.push(index);
        Some(value)
    }

    /// The value with this key, unless it is gone.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (found, value) = self.at(key.index())?;
        (found == key).then_some(value)
    }

    /// The value at a place, and its key.
    pub(crate) fn at(&mut self, index: usize) -> Option<(Key, &mut T)> {
        let place = self.places.get_mut(index)?;
        let key = Key::new(u32::try_from(index).ok()?, place.generation);
        Some((key, place.value.as_mut()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_open_the_value_that_took_the_place() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!((slab.remove(a), slab.remove(a)), (Some("a"), None));
        let c = slab.insert("c");
        assert_eq!((c.index(), slab.len(), slab.places()), (a.index(), 2, 2));
        assert!(slab.get_mut(a).is_none() && slab.get_mut(Key::NONE).is_none());
        assert_eq!(slab.get_mut(Key::from_bits(c.bits())), Some(&mut "c"));
        assert_eq!(slab.at(b.index()).map(|(key, value)| (key, *value)), Some((b, "b")));
    }
}
