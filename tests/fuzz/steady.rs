//! What an operation on its way allocates, in a room where everybody keeps up.

use bytes::Bytes;
use corelay::engine::shard::Transport;

use crate::allocation::allocations;
use crate::room::Room;

const ROUNDS: usize = 100;

/// In some rounds of so many operations and one send for everybody.
fn allocations_in(readers: usize, transport: Transport, operations: usize) -> usize {
    let payload = Bytes::from_static(&[7; 64]);
    let mut room = Room::new(readers, transport);
    let mut round = || {
        (0..operations).for_each(|_| room.publish(&payload));
        assert!(
            room.flush() > readers * operations * payload.len(),
            "everybody gets them"
        );
    };
    // Until the ring and every queue have grown to what they need.
    (0..2 * 1024_usize.div_ceil(operations)).for_each(|_| round());
    allocations(|| (0..ROUNDS).for_each(|_| round()))
}

#[test]
fn nothing_is_allocated_per_subscriber_or_delivery() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        for operations in [1, 8] {
            let few = allocations_in(10, transport, operations);
            let many = allocations_in(500, transport, operations);
            assert!(few >= ROUNDS * operations, "they are counted");
            assert_eq!(few, many, "{transport:?}, {operations} operations at once");
        }
    }
}
