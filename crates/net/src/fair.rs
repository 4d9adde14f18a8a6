//! A bounded queue that serves the addresses in turn, however many wait from each.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

/// Whom to treat as one peer: an IPv4 address, or an IPv6 /64, since that is what one subscriber is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

/// The queue. A pure data structure: it waits for nobody.
#[derive(Debug)]
pub struct FairQueue<K, T> {
    lanes: HashMap<K, VecDeque<T>>,
    turns: VecDeque<K>,
    length: usize,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// An empty queue that holds at most `capacity`.
    pub fn new(capacity: usize) -> Self {
        Self { lanes: HashMap::new(), turns: VecDeque::new(), length: 0, capacity: capacity.max(1) }
    }

    /// Adds an item. When the queue is full, the newest item of the longest lane has to go and is returned: it is the
    /// crowd that pays for the crowd, and within it those who have waited longest stay.
    pub fn push(&mut self, key: K, item: T) -> Option<T> {
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.is_empty() {
            self.turns.push_back(key);
        }
        lane.push_back(item);
        self.length += 1;
        (self.length > self.capacity).then(|| self.evict()).flatten()
    }

    /// The next item: the oldest one of the lane whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let key = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&key)?;
        let item = lane.pop_front()?;
        self.length -= 1;
        if lane.is_empty() {
            self.lanes.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        Some(item)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether the next one costs another its place.
    pub fn is_full(&self) -> bool {
        self.length >= self.capacity
    }

    /// Drops the items that nobody wants any more.
    pub fn retain(&mut self, mut wanted: impl FnMut(&T) -> bool) {
        self.lanes.retain(|_, lane| {
            lane.retain(&mut wanted);
            !lane.is_empty()
        });
        self.turns.retain(|key| self.lanes.contains_key(key));
        self.length = self.lanes.values().map(VecDeque::len).sum();
    }

    fn evict(&mut self) -> Option<T> {
        let longest = self.turns.iter().max_by_key(|key| self.lanes.get(*key).map_or(0, VecDeque::len))?.clone();
        let lane = self.lanes.get_mut(&longest)?;
        let item = lane.pop_back()?;
        self.length -= 1;
        if lane.is_empty() {
            self.lanes.remove(&longest);
            self.turns.retain(|key| *key != longest);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_crowded_address_does_not_hold_up_another() {
        let mut queue = FairQueue::new(100);
        for number in 0..5 {
            queue.push("crowd", number);
        }
        queue.push("alone", 100);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [0, 100, 1, 2, 3, 4]);
    }

    #[test]
    fn a_full_queue_drops_the_newest_of_the_crowd() {
        let mut queue = FairQueue::new(3);
        for number in 0..3 {
            assert_eq!(queue.push("crowd", number), None);
        }
        assert_eq!(queue.push("alone", 100), Some(2));
        assert_eq!(queue.push("crowd", 3), Some(3));
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn an_ipv6_subscriber_is_one_source() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_lanes_keep_their_order(pushes in proptest::collection::vec(0u8..4, 0..60)) {
            let mut queue = FairQueue::new(20);
            let mut dropped = Vec::new();
            for (number, key) in pushes.iter().enumerate() {
                dropped.extend(queue.push(*key, (*key, number)));
                prop_assert!(queue.len() <= 20);
            }
            let served: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
            prop_assert!(queue.is_empty());
            prop_assert_eq!(served.len() + dropped.len(), pushes.len());
            for key in 0..4 {
                let lane: Vec<_> = served.iter().filter(|(of, _)| *of == key).collect();
                prop_assert!(lane.is_sorted());
            }
        }
    }
}
