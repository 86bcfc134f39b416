//! Deliveries that another thread makes for the event loop to pick up: few enough for each
//! connection, and bounded in bytes.

use std::sync::Arc;

use hashbrown::HashMap;
use lru::LruCache;
use parking_lot::Mutex;

use super::{
    deliver::{ReadRequest, bytes_to_read},
    elsewhere::Connection,
};
use crate::{limits, messagepack::Delivered};

/// Bytes of deliveries that wait to be picked up, but always one; readers that went away leave
/// theirs behind.
const MADE_BYTES_MAX: usize = 32 << 20;

/// Which delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DeliveryKey {
    connection: Connection,
    subscription: u32,
    topic: u32,
    partition: u32,
    offset: u64,
}

impl DeliveryKey {
    /// The one that a request asks for.
    pub(super) fn of(request: &ReadRequest) -> Self {
        Self {
            connection: request.connection,
            subscription: request.subscription,
            topic: request.topic,
            partition: request.partition,
            offset: request.offset,
        }
    }
}

/// The deliveries of one event loop that another thread makes or has made.
pub struct Deliveries(Mutex<State>);

struct State {
    being_made: HashMap<Connection, u64>,
    made: LruCache<DeliveryKey, (Vec<u8>, Delivered)>,
    made_bytes: usize,
}

impl Default for Deliveries {
    fn default() -> Self {
        let (being_made, made) = (HashMap::new(), LruCache::unbounded());
        Self(Mutex::new(State { being_made, made, made_bytes: 0 }))
    }
}

impl Deliveries {
    /// Notes that a delivery is being made; `None` when the connection has as many on their way
    /// as it may have subscriptions, so that it must have given some of them up.
    pub(super) fn begin(self: &Arc<Self>, connection: Connection) -> Option<Making> {
        let state = &mut *self.0.lock();
        let count = state.being_made.entry(connection).or_default();
        if *count >= limits::SUBSCRIPTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Making { deliveries: Arc::clone(self), connection })
    }

    /// Keeps a delivery until it is picked up.
    pub(super) fn keep(&self, key: DeliveryKey, frame: Vec<u8>, delivered: Delivered) {
        let mut gone = Vec::new();
        let state = &mut *self.0.lock();
        state.made_bytes += frame.capacity();
        gone.extend(state.made.push(key, (frame, delivered)));
        state.made_bytes -= gone.iter().map(|(_, (old, _))| old.capacity()).sum::<usize>();
        while state.made_bytes > MADE_BYTES_MAX
            && state.made.len() > 1
            && let Some(oldest) = state.made.pop_lru()
        {
            state.made_bytes -= oldest.1.0.capacity();
            gone.push(oldest);
        }
    }

    /// Picks a delivery up, unless it is more than the request may take: a subscription may have
    /// ended and another have its number.
    pub(super) fn take(&self, request: &ReadRequest) -> Option<(Vec<u8>, Delivered)> {
        let state = &mut *self.0.lock();
        if state.made.is_empty() {
            return None;
        }
        let key = DeliveryKey::of(request);
        let (_, delivered) = state.made.peek(&key)?;
        let is_within_bytes =
            delivered.records <= 1 || delivered.bytes as u64 <= bytes_to_read(request);
        if delivered.records > request.records_max.max(1) || !is_within_bytes {
            return None;
        }
        let (frame, delivered) = state.made.pop(&key)?;
        state.made_bytes -= frame.capacity();
        Some((frame, delivered))
    }
}

/// A delivery that is being made; over when it is dropped.
pub(super) struct Making {
    deliveries: Arc<Deliveries>,
    connection: Connection,
}

impl Drop for Making {
    fn drop(&mut self) {
        let state = &mut *self.deliveries.0.lock();
        if let Some(count) = state.being_made.get_mut(&self.connection) {
            *count -= 1;
            if *count == 0 {
                state.being_made.remove(&self.connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(connection: Connection, offset: u64) -> ReadRequest {
        ReadRequest {
            topic: 0,
            partition: 0,
            offset,
            subscription: 1,
            records_max: 10,
            bytes_max: 1 << 20,
            connection,
        }
    }

    fn delivered(records: u32, bytes: usize) -> Delivered {
        Delivered { records, bytes, base_offset: 0, next_offset: 0 }
    }

    #[test]
    fn a_delivery_is_for_who_asked_and_for_what_it_may_take() {
        let deliveries = Arc::new(Deliveries::default());
        deliveries.keep(DeliveryKey::of(&request(1, 0)), vec![1; 100], delivered(5, 100));
        assert!(deliveries.take(&request(2, 0)).is_none());
        assert!(deliveries.take(&request(1, 1)).is_none());
        assert!(deliveries.take(&ReadRequest { records_max: 4, ..request(1, 0) }).is_none());
        assert!(deliveries.take(&ReadRequest { bytes_max: 99, ..request(1, 0) }).is_none());
        assert_eq!(deliveries.take(&request(1, 0)).unwrap().0, vec![1; 100]);
        assert!(deliveries.take(&request(1, 0)).is_none());
    }

    #[test]
    fn what_is_not_picked_up_is_bounded_and_so_is_what_is_being_made() {
        let deliveries = Arc::new(Deliveries::default());
        for offset in 0..100 {
            let key = DeliveryKey::of(&request(1, offset));
            deliveries.keep(key, vec![0; 1 << 20], delivered(1, 1 << 20));
        }
        let kept = (0..100).filter(|offset| deliveries.take(&request(1, *offset)).is_some());
        assert_eq!(kept.count(), MADE_BYTES_MAX >> 20);
        let making: Vec<_> =
            (0..limits::SUBSCRIPTIONS_MAX).map(|_| deliveries.begin(1).unwrap()).collect();
        assert!(deliveries.begin(1).is_none() && deliveries.begin(2).is_some());
        drop(making);
        assert!(deliveries.begin(1).is_some());
    }
}
