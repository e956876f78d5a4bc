//! A hash table of byte strings of up to eight bytes that end at a given place.
//!
//! Built once from the keys of all literals; asked at every place that fits a fingerprint, so a small
//! bitmap, which stays in the first cache, answers most questions.

/// The loaded bytes end this far behind a fingerprint's first byte.
pub(super) const AHEAD: usize = 3;

/// Up to eight bytes: those of `value` under `mask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub mask: u64,
    pub value: u64,
}

impl Key {
    /// Number of its bytes.
    pub fn len(self) -> usize {
        self.mask.count_ones() as usize / 8
    }
}

/// The keys of all literals.
#[derive(Debug)]
pub(super) struct Keys {
    masks: Vec<u64>,
    bitmap: Vec<u64>,
    bitmap_shift: u32,
    /// Open addressing; an empty slot has no literals.
    slots: Vec<Slot>,
    slots_shift: u32,
    literals: Vec<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    mask: u64,
    value: u64,
    first: u32,
    len: u32,
}

/// Bits of the largest bitmap: 16 KiB.
const MAX_BITMAP: u32 = 17;

impl Keys {
    /// The table for keys in the order of their literals.
    pub fn new(keys: impl Iterator<Item = Key>) -> Self {
        let mut keys: Vec<(Key, u32)> = keys.zip(0..).collect();
        keys.sort_unstable();
        let mut masks: Vec<u64> = keys.iter().map(|(key, _)| key.mask).collect();
        masks.dedup();
        let groups: Vec<&[(Key, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
        let bits = (groups.len() * 16).next_power_of_two().ilog2().clamp(6, MAX_BITMAP);
        let slots_log = (groups.len() * 8).next_power_of_two().ilog2();
        let mut table = Self {
            masks,
            bitmap: vec![0; 1 << (bits - 6)],
            bitmap_shift: 64 - bits,
            slots: vec![Slot::default(); 1 << slots_log],
            slots_shift: 64 - slots_log,
            literals: keys.iter().map(|(_, literal)| *literal).collect(),
        };
        let mut first = 0;
        for group in groups {
            let Key { mask, value } = group[0].0;
            let hash = hash(mask, value);
            let bit = hash >> table.bitmap_shift;
            table.bitmap[(bit / 64) as usize] |= 1 << (bit % 64);
            let mut at = (hash >> table.slots_shift) as usize;
            while table.slots[at].len > 0 {
                at = (at + 1) % table.slots.len();
            }
            table.slots[at] = Slot { mask, value, first, len: group.len() as u32 };
            first += group.len() as u32;
        }
        table
    }

    /// Calls `found` with the literals whose key the loaded bytes hold.
    #[inline]
    pub fn find(&self, bytes: u64, mut found: impl FnMut(u32)) {
        for &mask in &self.masks {
            let value = bytes & mask;
            let hash = hash(mask, value);
            let bit = hash >> self.bitmap_shift;
            if self.bitmap[(bit / 64) as usize] >> (bit % 64) & 1 == 0 {
                continue;
            }
            let mut at = (hash >> self.slots_shift) as usize;
            loop {
                let slot = self.slots[at];
                if slot.len == 0 {
                    break;
                }
                if slot.value == value && slot.mask == mask {
                    let literals = &self.literals[slot.first as usize..(slot.first + slot.len) as usize];
                    literals.iter().for_each(|literal| found(*literal));
                    break;
                }
                at = (at + 1) % self.slots.len();
            }
        }
    }
}

#[inline]
fn hash(mask: u64, value: u64) -> u64 {
    // The multiplier is 2^64 divided by the golden ratio: consecutive values spread evenly.
    let mixed = (value ^ mask.rotate_left(7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The eight bytes of `text` that end at `end`, the last one on top; zeros where there are none.
#[inline]
pub(super) fn load(text: &[u8], end: usize) -> u64 {
    if let Some(bytes) = end.checked_sub(8).and_then(|start| text.get(start..end)?.first_chunk()) {
        return u64::from_le_bytes(*bytes);
    }
    (0..8).fold(0, |bytes, back| {
        let byte = end.checked_sub(8 - back).and_then(|at| text.get(at)).copied().unwrap_or(0);
        bytes | u64::from(byte) << (8 * back)
    })
}
